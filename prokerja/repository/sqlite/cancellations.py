"""Ending declarations before they have ended by themselves.

A pending one fails at once. One that a worker holds has a row here until that worker, which is
the only one that may settle it, has stopped it; or until another has put it back.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja.errors import RequestError
from prokerja.model.claim import Cancellation
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import FAILED, TURNS, UNSETTLED
from prokerja.repository.sqlite.declarations import SLICE_ROWS, in_slices, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

HELD = "SELECT value, token FROM claim, json_each(claim.declarations)"
FAIL = f"""
    UPDATE declaration SET status = {FAILED}, attempt = attempt + 1, started_at = NULL,
        finished_at = ? WHERE id = ?"""
TELL = """
    INSERT INTO attempt (declaration, number, worker, finished_at, crashed, error)
    SELECT id, attempt, 0, ?, 0, ? FROM declaration WHERE id = ?"""
ASK = """
    INSERT INTO cancellation (declaration, token, error) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET token = excluded.token, error = excluded.error"""
OF_LANE = """
    SELECT declaration, lane, due_at FROM pending
    WHERE lane = :lane AND declaration <= :newest LIMIT :most"""
LABELLED = """
    SELECT d.id, d.lane, d.due_at FROM declaration AS d JOIN pending AS p
        ON p.lane = d.lane AND p.due_at = d.due_at AND p.declaration = d.id
    WHERE d.lane = :lane AND d.label = :label AND d.id <= :newest LIMIT :most"""


class Cancellations:
    """Requests to end declarations, and the declarations that wait for nobody."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def cancel(self, ids: Iterable[int], error: str, now: float, *, skip_ended: bool) -> int:
        """End them with that error, all or none; returns how many a worker has yet to stop.

        Raises NotFound or RequestError naming the first id that is not there or, unless those are
        to be skipped, has ended.
        """
        with self._database.writing():
            held = dict(self._database.execute(HELD).fetchall())
            waiting, asked = [], []
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if id in held:
                    asked.append((id, held[id], error))
                elif status == UNSETTLED:
                    waiting.append((id, lane, due_at))
                elif not skip_ended:
                    raise RequestError(f"job {id} has ended; `prokerja report:job {id}` shows how")
            self._fail(waiting, error, now)
            self._database.executemany(ASK, asked)
        return len(asked)

    def cancel_matching(
        self, lanes: Collection[int], label: str | None, error: str, now: float
    ) -> tuple[int, int]:
        """End all of these lanes that are there and have not ended, or those with a label.

        Works in slices that never hold a worker up for long. Returns how many, and how many of
        them a worker has yet to stop.
        """
        with self._database.reading():
            [newest] = self._database.execute("SELECT max(id) FROM declaration").fetchone()
        # What is held cannot come back once it is asked for; what is claimed meanwhile comes last.
        asked = self._ask_matching(lanes, label, newest, error)
        query = OF_LANE if label is None else LABELLED
        count = 0
        for lane in lanes:
            given = {"lane": lane, "label": label, "newest": newest, "most": SLICE_ROWS}
            for _ in in_slices():
                with self._database.writing():
                    rows = self._database.execute(query, given).fetchall()
                    self._fail(rows, error, now)
                count += len(rows)
                if len(rows) < SLICE_ROWS:
                    break
        asked |= self._ask_matching(lanes, label, newest, error)
        return count + len(asked), len(asked)

    def _ask_matching(
        self, lanes: Collection[int], label: str | None, newest: int, error: str
    ) -> set[int]:
        query = f"""
            SELECT id, token, lane FROM ({HELD}) JOIN declaration ON id = value
            WHERE id <= :newest AND (:label IS NULL OR label = :label)"""
        with self._database.writing():
            held = self._database.execute(query, {"newest": newest, "label": label}).fetchall()
            rows = [(id, token, error) for id, token, lane in held if lane in lanes]
            self._database.executemany(ASK, rows)
        return {id for id, _, _ in rows}

    def _fail(self, rows: Sequence[tuple[int, int, float]], error: str, now: float) -> None:
        """Pending ones, by id, lane and due time; inside a write transaction."""
        drop = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
        self._database.executemany(drop, [(lane, due_at, id) for id, lane, due_at in rows])
        self._database.executemany(FAIL, [(now, id) for id, _, _ in rows])
        self._database.executemany(TELL, [(now, error, id) for id, _, _ in rows])
        counts = Counter(lane for _, lane, _ in rows)
        for status, sign in ((Status.PENDING, -1), (Status.FAILED, 1)):
            self._lanes.add_counts({(lane, status): sign * n for lane, n in counts.items()})

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
