"""Declarations that wait for an outside party, and the answers that they were resolved with.

An awaiting one is processing, and no claim covers it. Once it is resolved it is pending, and each
attempt from then on is given the answer, until one has used it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja import lifecycle
from prokerja.errors import BadOption, NotAwaiting
from prokerja.model.claim import Overdue
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import HIGHEST_ID, QUEUE, UNSETTLED
from prokerja.repository.sqlite.places import place_of
from prokerja.repository.sqlite.slices import SLICE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes
    from prokerja.verdicts import Parked

PARK = """
    INSERT INTO awaiting (declaration, lane, token, started_at, since, until)
    VALUES (?, ?, ?, ?, ?, ?)"""
OVERDUE = f"""
    SELECT declaration, lane, started_at, until - since FROM awaiting
    WHERE until <= ? ORDER BY until LIMIT {SLICE_ROWS}"""
OF_LANE = f"""
    SELECT started_at, declaration, lane FROM awaiting
    WHERE lane = :lane AND declaration <= :newest LIMIT {SLICE_ROWS}"""
CALLED = f"""
    SELECT a.started_at, id, a.lane FROM declaration AS d
    CROSS JOIN awaiting AS a ON a.declaration = d.id
    WHERE {{call}} AND id <= :newest AND a.lane = :lane LIMIT {SLICE_ROWS}"""
GIVEN = """
    SELECT answer.declaration, data, answer.token
    FROM claim CROSS JOIN json_each(claim.declarations) AS held
    CROSS JOIN answer ON answer.declaration = held.value WHERE claim.token = ?"""


class Awaiting:
    """Every verb but `resolve` stands inside the transaction at hand."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def park(self, id: int, lane: int, verdict: Parked, now: float) -> float | None:
        """It leaves its claim, and waits from now on; returns until when."""
        until = None if verdict.timeout is None else now + verdict.timeout
        row = (id, lane, verdict.token, verdict.started_at, now, until)
        self._database.execute(PARK, row)
        self._lanes.add_awaiting(lane, 1)
        return until

    def resolve(self, id: int, answer: str, token: str | None, now: float) -> None:
        """Make it pending, with an answer; NotFound, NotAwaiting, or BadOption for the token."""
        query = "SELECT lane, token FROM awaiting WHERE declaration = ?"
        with self._database.writing():
            row = self._database.execute(query, (min(id, HIGHEST_ID),)).fetchone()
            if row is None:
                raise NotAwaiting(id, self._status(id))
            lane, secret = row
            if token is not None and not _is_same(token, secret):
                raise BadOption(
                    f"job {id}: the token is wrong; give the one that the job was given"
                )
            self.remove([(id, lane)])
            self._requeue(id, lane, now)
            insert = "INSERT INTO answer (declaration, data, token) VALUES (?, ?, ?)"
            self._database.execute(insert, (id, answer, secret))
            self._database.log.add("resolved", now, (id, lane))

    def begun_at(self, id: int) -> float | None:
        """When the attempt began of one that waits; None if it does not."""
        query = "SELECT started_at FROM awaiting WHERE declaration = ?"
        [began] = self._database.execute(query, (id,)).fetchone() or (None,)
        return began

    def of_lane(
        self, lane: int, call: str, called: Mapping[str, Any]
    ) -> list[tuple[float, int, int]]:
        """Some of a lane that wait: when they began, id and lane; all, or those of a `call`."""
        query = CALLED.format(call=call) if call else OF_LANE
        return self._database.execute(query, {"lane": lane, **called}).fetchall()

    def overdue(self, now: float) -> list[Overdue]:
        """Some of those that have waited for too long, which wait no more."""
        rows = [
            Overdue(id, lane, started_at, lifecycle.unresolved(round(waited, 3)))
            for id, lane, started_at, waited in self._database.execute(OVERDUE, (now,))
        ]
        self.remove([(row.id, row.lane) for row in rows])
        return rows

    def next_deadline(self) -> float | None:
        """When the first of those that wait will have waited for too long."""
        query = "SELECT min(until) FROM awaiting WHERE until IS NOT NULL"
        [until] = self._database.execute(query).fetchone()
        return None if until is None else float(until)

    def remove(self, rows: Iterable[tuple[int, int]]) -> None:
        """These wait no more, by id and lane."""
        for id, lane in rows:
            self._database.execute("DELETE FROM awaiting WHERE declaration = ?", (id,))
            self._lanes.add_awaiting(lane, -1)

    def has_answers(self) -> bool:
        """Whether any declaration has one."""
        return self._database.execute("SELECT 1 FROM answer LIMIT 1").fetchone() is not None

    def answers(self, token: int) -> list[tuple[int, str, str | None]]:
        """Those of a claim's declarations: the id, the answer, and the token of the attempt."""
        return self._database.execute(GIVEN, (token,)).fetchall()

    def drop_answers(self, ids: Iterable[int]) -> None:
        """These have used theirs, or have ended."""
        drop = "DELETE FROM answer WHERE declaration = ?"
        self._database.executemany(drop, [(id,) for id in ids])

    def _requeue(self, id: int, lane: int, now: float) -> None:
        self._database.execute("UPDATE declaration SET due_at = ? WHERE id = ?", (now, id))
        self._database.execute(QUEUE, (lane, now, id))
        self._lanes.add_counts({(lane, Status.PROCESSING): -1, (lane, Status.PENDING): 1})

    def _status(self, id: int) -> Status:
        """That of one that does not wait; raises NotFound."""
        from prokerja.repository.sqlite.codes import CLAIMED, CODES

        _, code, _ = place_of(self._database, id)
        if code != UNSETTLED:
            return next(status for status in CODES if CODES[status] == code)
        claimed = f"SELECT ? IN ({CLAIMED})"
        [is_claimed] = self._database.execute(claimed, (id,)).fetchone()
        return Status.PROCESSING if is_claimed else Status.PENDING


def _is_same(token: str, secret: str | None) -> bool:
    """Compares in a time that tells nothing of how much of it is right."""
    import hmac

    given = token.encode("utf-8", "backslashreplace")
    return secret is not None and hmac.compare_digest(given, secret.encode())
