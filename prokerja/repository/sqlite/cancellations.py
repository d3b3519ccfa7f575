"""Ending declarations before they have ended by themselves.

A pending or an awaiting one fails at once. One that a worker holds has a row here until that
worker, which is the only one that may settle it, has stopped it; or until another has put it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import RequestError
from prokerja.model.claim import Cancellation
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.awaiting import Awaiting
from prokerja.repository.sqlite.codes import FAILED, TURNS, UNSETTLED
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.places import place_of
from prokerja.repository.sqlite.slices import SLICE_ROWS, in_slices

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

HELD = "SELECT value, token FROM claim, json_each(claim.declarations)"
FAIL = f"""
    UPDATE declaration SET status = {FAILED}, attempt = attempt + 1, started_at = ?,
        finished_at = ? WHERE id = ?"""
TELL = """
    INSERT INTO attempt (declaration, number, worker, started_at, finished_at, crashed, error)
    SELECT id, attempt, 0, started_at, finished_at, 0, ? FROM declaration WHERE id = ?"""
ASK = """
    INSERT INTO cancellation (declaration, token, error) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET token = excluded.token, error = excluded.error"""
OF_LANE = """
    SELECT declaration, lane, due_at FROM pending
    WHERE lane = :lane AND declaration <= :newest
    UNION ALL
    SELECT id, d.lane, due_at FROM blocked JOIN declaration AS d ON id = blocked.declaration
    WHERE blocked.lane = :lane AND id <= :newest LIMIT :most"""
CALLED = """
    SELECT d.id, d.lane, d.due_at FROM declaration AS d
    WHERE d.lane = :lane AND {call} AND d.id <= :newest AND d.status = 0 AND (
        EXISTS (SELECT 1 FROM pending AS p
            WHERE p.lane = d.lane AND p.due_at = d.due_at AND p.declaration = d.id)
        OR EXISTS (SELECT 1 FROM blocked WHERE blocked.declaration = d.id)
    ) LIMIT :most"""
"""Those with a label, or of a batch, or both."""


class Cancellations:
    """Requests to end declarations, and the declarations that wait for nobody."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes
        self._awaiting = Awaiting(database, lanes)
        self._endings = Endings(database, lanes)

    def cancel(self, ids: Iterable[int], error: str, now: float, *, skip_ended: bool) -> int:
        """End them with that error, all or none; returns how many a worker has yet to stop.

        Raises NotFound or RequestError naming the first id that is not there or, unless those are
        to be skipped, has ended.
        """
        with self._database.writing():
            held = dict(self._database.execute(HELD).fetchall())
            waiting, asked, parked = [], [], []
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if id in held:
                    asked.append((id, held[id], error))
                elif (began := self._awaiting.begun_at(id)) is not None:
                    parked.append((began, id, lane))
                elif status == UNSETTLED:
                    waiting.append((id, lane, due_at, error))
                elif not skip_ended:
                    raise RequestError(f"job {id} has ended; `prokerja report:job {id}` shows how")
            self._endings.asked_for(id for id, *_ in waiting)
            self._endings.fail_waiting(waiting, now, "cancelled")
            self._fail_parked(parked, error, now)
            self._endings.write(now)
            self._database.executemany(ASK, asked)
        return len(asked)

    def cancel_matching(
        self,
        lanes: Collection[int],
        label: str | None,
        batch: str | None,
        error: str,
        now: float,
    ) -> tuple[int, int]:
        """End all of these lanes that have not ended, or those of them with a label or a batch.

        Works in slices that never hold a worker up for long. Returns how many, and how many of
        them a worker has yet to stop.
        """
        with self._database.reading():
            [newest] = self._database.execute("SELECT max(id) FROM declaration").fetchone()
        # What is held cannot come back once it is asked for; what is claimed meanwhile comes last.
        called = {"label": label, "batch": batch, "newest": newest}
        asked = self._ask_matching(lanes, called, error)
        calls = [f"d.{name} = :{name}" for name in ("label", "batch") if called[name] is not None]
        call = " AND ".join(calls)
        query = CALLED.format(call=call) if calls else OF_LANE
        count = self._fail_parked_matching(lanes, call, called, error, now)
        for lane in lanes:
            given = {"lane": lane, "most": SLICE_ROWS, **called}
            for _ in in_slices():
                with self._database.writing():
                    rows = self._database.execute(query, given).fetchall()
                    self._endings.asked_for(id for id, *_ in rows)
                    found = [(*row, error) for row in rows]
                    self._endings.fail_waiting(found, now, "cancelled")
                    self._endings.write(now)
                count += len(rows)
                if len(rows) < SLICE_ROWS:
                    break
        asked |= self._ask_matching(lanes, called, error)
        count += self._fail_parked_matching(lanes, call, called, error, now)
        return count + len(asked), len(asked)

    def _ask_matching(
        self, lanes: Collection[int], called: Mapping[str, Any], error: str
    ) -> set[int]:
        query = f"""
            SELECT id, token, lane FROM ({HELD}) JOIN declaration ON id = value
            WHERE id <= :newest AND (:label IS NULL OR label = :label)
            AND (:batch IS NULL OR batch = :batch)"""
        with self._database.writing():
            held = self._database.execute(query, called).fetchall()
            rows = [(id, token, error) for id, token, lane in held if lane in lanes]
            self._database.executemany(ASK, rows)
        return {id for id, _, _ in rows}

    def _fail_parked_matching(
        self,
        lanes: Collection[int],
        call: str,
        called: Mapping[str, Any],
        error: str,
        now: float,
    ) -> int:
        count = 0
        for lane in lanes:
            for _ in in_slices():
                with self._database.writing():
                    rows = self._awaiting.of_lane(lane, call, called)
                    self._fail_parked(rows, error, now)
                    self._endings.write(now)
                count += len(rows)
                if len(rows) < SLICE_ROWS:
                    break
        return count

    def _fail_parked(self, rows: Sequence[tuple[float, int, int]], error: str, now: float) -> None:
        """Awaiting ones, by when they began, id and lane; inside a write transaction."""
        from prokerja.repository.sqlite.histogram import Histogram

        self._awaiting.remove((id, lane) for _, id, lane in rows)
        self._endings.asked_for(id for _, id, _ in rows)
        histogram = Histogram(self._database)
        for began, id, lane in rows:
            self._database.execute(FAIL, (began, now, id))
            self._database.execute(TELL, (error, id))
            self._lanes.add_counts({(lane, Status.PROCESSING): -1, (lane, Status.FAILED): 1})
            self._endings.failed(id)
            self._database.log.unbegun("cancelled", [(id, lane, now, error)], now)
            histogram.add(lane, [now - began], completed=False)
        histogram.write()

    def asked_of(self, worker: int) -> list[Cancellation]:
        """What a worker has yet to stop."""
        query = "SELECT token, declaration, error FROM cancellation WHERE token >= ? AND token < ?"
        tokens = (worker * TURNS, (worker + 1) * TURNS)
        return [Cancellation(*row) for row in self._database.execute(query, tokens)]

    def asked_for(self, id: int) -> str | None:
        """The error with which a declaration is to end that has not yet."""
        query = f"""
            SELECT error FROM ({HELD}) AS held JOIN cancellation AS c
            ON c.declaration = held.value AND c.token = held.token WHERE c.declaration = ?"""
        [error] = self._database.execute(query, (id,)).fetchone() or (None,)
        return error

    def of_claim(self, token: int) -> dict[int, str]:
        """The errors with which a claim's declarations are to end, by id."""
        query = "SELECT declaration, error FROM cancellation WHERE token = ?"
        return dict(self._database.execute(query, (token,)).fetchall())

    def forget(self, ids: Iterable[int]) -> None:
        """These have ended."""
        drop = "DELETE FROM cancellation WHERE declaration = ?"
        self._database.executemany(drop, [(id,) for id in ids])
