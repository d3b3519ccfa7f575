"""Deletes declarations, and all that is kept with them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from prokerja.errors import TryAgain
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import CODES, FAILED, UNSETTLED
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.slices import SLICE_ROWS, in_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

KEPT_WITH = {
    "coalescing": "declaration",
    "blocked": "declaration",
    "held_before": "declaration",
    "dependency": "child",
    "successor": "declaration",
    "expiry": "declaration",
    "cut_result": "declaration",
    "progress": "declaration",
    "step": "declaration",
    "answer": "declaration",
    "untold": "declaration",
    "suspension": "declaration",
    "description": "declaration",
    "on_failure": "declaration",
    "trace": "declaration",
    "cost": "declaration",
}
"""Rarely used tables whose rows go with their declaration, and the column that says which it is."""

UNCOUNTED = f"""
    AND NOT EXISTS (
        SELECT 1 FROM successor JOIN declaration AS last ON last.id = successor.declaration
        WHERE successor.batch = declaration.batch AND completed IS NULL
            AND last.status = {UNSETTLED}
    )"""
"""Nothing waits to be told how many of its batch have ended how."""
UNNEEDED = f"""{UNCOUNTED}
    AND NOT EXISTS (
        SELECT 1 FROM dependency JOIN declaration AS child ON child.id = dependency.child
        WHERE parent = declaration.id AND child.status = {UNSETTLED}
    )"""
"""Nor is there a child to be given its result."""

BLOCKED = """
    SELECT declaration, due_at FROM blocked JOIN declaration ON id = declaration
    WHERE blocked.lane = ? AND due_at < ? ORDER BY declaration DESC LIMIT ?"""


class Purging:
    """`purged` is told the ids of the purged, when others may write again."""

    def __init__(
        self, database: Database, lanes: Lanes, purged: Callable[[Iterable[int]], None]
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._purged = purged
        self._endings = Endings(database, lanes)

    def purge(
        self,
        lanes: Iterable[int],
        status: Status,
        before: float,
        most: int | None = None,
        now: float | None = None,
    ) -> int:
        """Delete declarations that ended (if pending: were due) before that moment.

        Works in slices that never hold a worker up for long; returns how many went, `most` at
        the most. Those that a worker holds are not to be purged. What depends on pending ones
        fails, `now` if it is not `before`.
        """
        lanes, done = list(lanes), 0
        # What is blocked goes first, and the newest of it: children before their parents.
        kinds = (True, False) if status is Status.PENDING else (False,)
        for blocked, lane in itertools.product(kinds, lanes):
            for _ in in_slices():
                limit = SLICE_ROWS if most is None else min(SLICE_ROWS, most - done)
                gone = self._purge_with_room(lane, status, before, limit, now=now, blocked=blocked)
                done += gone
                if gone < limit or done == most:
                    break
        return done

    def purge_some(self, lane: int, status: Status, before: float, limit: int) -> int:
        """The oldest ended ones of a lane that nobody waits for, in one transaction.

        Returns how many went. What depends on them, or follows their batch, is yet to be told.
        """
        return self._purge_with_room(lane, status, before, limit, condition=UNNEEDED)

    def _purge_with_room(
        self, lane: int, status: Status, before: float, limit: int, **further: Any
    ) -> int:
        try:
            return self._purge_slice(lane, status, before, limit, **further)
        except TryAgain:
            # On a full disk, the log's own space is what there is to work with.
            self._database.shorten_log()
            return self._purge_slice(lane, status, before, limit, **further)

    def _purge_slice(
        self,
        lane: int,
        status: Status,
        before: float,
        limit: int,
        *,
        now: float | None = None,
        condition: str = UNCOUNTED,
        blocked: bool = False,
    ) -> int:
        if blocked:
            query = BLOCKED
            given: tuple[object, ...] = (lane, before, limit)
        elif status is Status.PENDING:
            query = """
                SELECT declaration, due_at FROM pending WHERE lane = ? AND due_at < ?
                ORDER BY due_at, declaration LIMIT ?"""
            given = (lane, before, limit)
        else:
            query = f"""
                SELECT id, due_at FROM declaration WHERE lane = ? AND status = ?
                AND finished_at < ? {condition} ORDER BY finished_at LIMIT ?"""
            given = (lane, CODES[status], before, limit)
        with self._database.writing():
            rows = self._database.execute(query, given).fetchall()
            if status is Status.PENDING:
                delete = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
                self._database.executemany(delete, [(lane, due_at, id) for id, due_at in rows])
                self._end([id for id, _ in rows], before if now is None else now)
            elif status is Status.FAILED:
                self._orphan([id for id, _ in rows], before if now is None else now)
            self._delete([(id,) for id, _ in rows])
            self._lanes.add_counts({(lane, status): -len(rows)})
        self._purged(id for id, _ in rows)
        return len(rows)

    def _delete(self, ids: Sequence[tuple[int]]) -> None:
        if ids:
            self._database.execute("UPDATE purged SET id = max(id, ?)", max(ids))
        self._database.executemany("DELETE FROM declaration WHERE id = ?", ids)
        self._database.executemany("DELETE FROM attempt WHERE declaration = ?", ids)
        for table, column in KEPT_WITH.items():
            any_row = f"SELECT EXISTS (SELECT 1 FROM {table})"
            if self._database.execute(any_row).fetchone()[0]:
                self._database.executemany(f"DELETE FROM {table} WHERE {column} = ?", ids)

    def _end(self, ids: Sequence[int], now: float) -> None:
        """What waits for these, which are about to be deleted, is not to wait for ever."""
        drop = "DELETE FROM blocked WHERE declaration = ?"  # they wait for nothing any more
        self._database.executemany(drop, [(id,) for id in ids])
        self._database.execute(
            f"UPDATE declaration SET status = {FAILED} WHERE batch IS NOT NULL"
            " AND id IN (SELECT value FROM json_each(?))",
            (str(list(ids)),),
        )
        self._orphan(ids, now)

    def _orphan(self, ids: Sequence[int], now: float) -> None:
        """What waits for these cannot wait for them any more."""
        self._endings.asked_for(ids)
        for id in ids:
            self._endings.failed(id, told=True)
        self._endings.write(now, purged=True)
