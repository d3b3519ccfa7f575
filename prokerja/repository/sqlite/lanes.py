"""Lanes: where declarations wait, and the tally of them by status."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prokerja.model.declaration import Lane, Status
from prokerja.repository.sqlite.flows import Flows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.model.record import Record
    from prokerja.model.summary import Tally
    from prokerja.model.worker import Taking
    from prokerja.repository.sqlite.database import Database

INSERT = (
    "INSERT OR IGNORE INTO lane (queue, name, priority, directory, flow) VALUES (?, ?, ?, ?, ?)"
)
FIND = """
    SELECT id FROM lane WHERE queue = ? AND name = ? AND priority = ? AND directory = ?
    AND flow = ? AND fields = ''"""
APART = """
    INSERT INTO lane (queue, name, priority, directory, flow, fields)
    SELECT queue, name, priority, directory, flow, (
        SELECT iif(count(*) > :most AND NOT max(other.fields = :fields), :rest, :fields)
        FROM lane AS other
        WHERE (other.queue, other.name, other.priority, other.directory, other.flow)
            = (lane.queue, lane.name, lane.priority, lane.directory, lane.flow)
    )
    FROM lane WHERE id = :lane
    ON CONFLICT DO UPDATE SET fields = excluded.fields RETURNING id"""
BESIDE = """
    INSERT OR IGNORE INTO lane (queue, name, priority, directory, fields)
    SELECT queue, name, priority, directory, fields FROM lane WHERE id = ?"""
FIND_BESIDE = """
    SELECT other.id FROM lane JOIN lane AS other USING (queue, name, priority, directory, fields)
    WHERE lane.id = ? AND NOT other.flow"""
FIRST_DUE = "(SELECT min(due_at) FROM pending WHERE lane = lane.id)"
WAITING = f"""
    WITH one AS MATERIALIZED (
        SELECT id, flow, CASE WHEN flow THEN {FIRST_DUE} END AS due FROM lane WHERE pending > 0
    )
    SELECT id, flow, due, CASE WHEN flow THEN (
        SELECT declaration FROM pending WHERE lane = one.id ORDER BY due_at, declaration LIMIT 1
    ) END
    FROM one WHERE (NOT flow OR due <= :now)
    AND NOT EXISTS (SELECT 1 FROM refusal WHERE worker = :worker AND refusal.lane = one.id)"""
"""There may be a lane for each of thousands of keys; those with nothing due are left to SQLite."""
LATER = f"""
    WITH one AS MATERIALIZED (SELECT {FIRST_DUE} AS due FROM lane WHERE pending > 0 AND flow)
    SELECT min(due) FROM one WHERE due > ?"""
MAX_KNOWN = 20_000
"""Lanes that are remembered."""
MAX_APART = 50
"""Lanes apart from one of the usual; what goes there beyond that shares the last."""
REST = "..."


class Waiting(NamedTuple):
    """A lane that holds something."""

    id: int
    lane: Lane
    flow: int = 0
    """The id of its flow."""
    first_due: float | None = None
    """When the first of what waits there is due; of lanes with a flow only."""
    first: int | None = None
    """The id of that."""


def ranked(lanes: Iterable[Waiting], queues: Sequence[str] = ()) -> list[list[Waiting]]:
    """Lanes in the order in which they have to be taken from.

    Those in one inner list rank alike: the same priority, and with `queues` the same place in that
    order.
    """
    place = {queue: position for position, queue in reversed(list(enumerate(queues)))}
    ranks: dict[tuple[int, int], list[Waiting]] = {}
    for one in lanes:
        rank = (place.get(one.lane.queue, len(place)), -one.lane.priority)
        ranks.setdefault(rank, []).append(one)
    return [ranks[rank] for rank in sorted(ranks)]


class Lanes:
    """Lanes are made at need and stay for good; there are as many as kinds of work.

    Those with a flow go once nothing is in them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[Lane, int] = {}
        self._flows = Flows(database)
        self._lanes: dict[int, Lane] = {}
        """By id, as far as they were met."""
        database.on_rollback += [self._ids.clear, self._lanes.clear]

    def cached_id(self, lane: Lane) -> int | None:
        """The lane's id, if it was asked for before."""
        return self._ids.get(lane)

    def id_of(self, lane: Lane) -> int:
        """The lane's id, making it if it is new; inside a write transaction."""
        known = self._ids.get(lane)
        if known is None:
            execute = self._database.execute
            *place, flow = lane
            row = (*place, 0 if flow is None else self._flows.id_of(flow))
            execute(INSERT, row)
            [known] = execute(FIND, row).fetchone()
            if flow is None:  # those with a flow go once nothing is in them
                self._ids[lane] = known
        return int(known)

    def of(self, id: int) -> Lane:
        """The lane of that id, with its flow."""
        query = "SELECT flow, queue, name, priority, directory FROM lane WHERE id = ?"
        flow, *place = self._database.execute(query, (id,)).fetchone()
        self._lanes[id] = Lane(*place)._replace(flow=self._flows.of(flow))
        return self._lanes[id]

    def beside(self, lane: int) -> int:
        """The lane without a flow for what is like this one's; inside a write transaction."""
        self._database.execute(BESIDE, (lane,))
        [known] = self._database.execute(FIND_BESIDE, (lane,)).fetchone()
        return int(known)

    def apart(self, lane: int, fields: str) -> int:
        """The lane for those of this one's declarations whose payloads have these fields."""
        given = {"lane": lane, "fields": fields, "most": MAX_APART, "rest": REST}
        [known] = self._database.execute(APART, given).fetchone()
        return int(known)

    def refusals(self, record: Record) -> dict[int, str]:
        """The workers that leave a declaration's lane out, and why, by their ids."""
        query = """
            SELECT worker, why FROM refusal
            WHERE lane = (SELECT lane FROM declaration WHERE id = ?)"""
        return dict(self._database.execute(query, (record.id,)).fetchall())

    def add_counts(self, changes: dict[tuple[int, Status], int]) -> None:
        """Add to the tally: by lane id and status, how many came (or, below zero, went)."""
        for (lane, status), change in changes.items():
            if change:
                self._database.execute(
                    f"UPDATE lane SET {status.value} = {status.value} + ? WHERE id = ?",
                    (change, lane),
                )

    def add_awaiting(self, lane: int, change: int) -> None:
        """Count those of a lane's processing ones that wait to be resolved."""
        count = "UPDATE lane SET awaiting = awaiting + ? WHERE id = ?"
        self._database.execute(count, (change, lane))

    def waiting(self, taking: Taking, now: float, worker: int = 0) -> list[Waiting]:
        """The lanes with pending declarations that a worker takes from and has not refused.

        Of those with a flow, the ones that have something due.
        """
        rows = self._database.execute(WAITING, {"worker": worker, "now": now}).fetchall()
        lanes, find = self._lanes, self.of
        if len(lanes) > MAX_KNOWN:
            lanes.clear()
        found = (Waiting(id, lanes.get(id) or find(id), *first) for id, *first in rows)
        return [one for one in found if taking.takes(one.lane)]

    def later(self, now: float) -> float | None:
        """When the first of the other lanes with a flow has something due, whoever takes that."""
        [moment] = self._database.execute(LATER, (now,)).fetchone()
        return None if moment is None else float(moment)

    def next_due(self, lanes: Iterable[Waiting]) -> float | None:
        """When the first of these lanes' declarations is due; None if none waits."""
        query = "SELECT min(due_at) FROM pending WHERE lane = ?"
        firsts = (self._database.execute(query, (lane.id,)).fetchone()[0] for lane in lanes)
        return min((due for due in firsts if due is not None), default=None)

    def due_since(self, queue: str | None, now: float) -> dict[str, float]:
        """When the declaration that has been due for the longest became due, for each queue."""
        query = """
            SELECT queue, min((SELECT min(due_at) FROM pending WHERE lane = lane.id))
            FROM lane WHERE pending > 0 AND (:queue IS NULL OR queue = :queue) GROUP BY queue"""
        firsts = self._database.execute(query, {"queue": queue})
        return {name: due for name, due in firsts if due is not None and due <= now}

    def tallies(self, queue: str | None = None) -> list[Tally]:
        """The tally of every queue, or of one, by name."""
        from prokerja.model.summary import Tally

        query = """
            SELECT queue, sum(pending), sum(processing), sum(completed), sum(failed), sum(awaiting)
            FROM lane WHERE :queue IS NULL OR queue = :queue GROUP BY queue ORDER BY queue"""
        return [Tally(*row) for row in self._database.execute(query, {"queue": queue})]

    def matching(self, queue: str | None, name: str | None) -> dict[int, Lane]:
        """The lanes of a queue, of a job, or of both, by id."""
        query = """
            SELECT id, queue, name, priority, directory FROM lane
            WHERE (:queue IS NULL OR queue = :queue) AND (:name IS NULL OR name = :name)"""
        rows = self._database.execute(query, {"queue": queue, "name": name})
        return {id: Lane(*columns) for id, *columns in rows}
