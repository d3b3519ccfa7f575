"""When declarations fail that have not been started by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import lifecycle
from prokerja.repository.sqlite.slices import SLICE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.endings import Endings

OVERDUE = f"""
    SELECT declaration FROM expiry WHERE expires_at <= ? ORDER BY expires_at LIMIT {SLICE_ROWS}"""
UNSTARTED = """
    SELECT d.lane, d.due_at, d.status, d.attempt, (
        SELECT 1 FROM claim, json_each(claim.declarations) AS held WHERE held.value = d.id
    ) FROM declaration AS d WHERE d.id = ?"""
NEXT = "SELECT min(expires_at) FROM expiry WHERE expires_at > ?"


class Expiry:
    """Inside the transaction at hand."""

    def __init__(self, database: Database, endings: Endings) -> None:
        self._database = database
        self._endings = endings

    def set(self, id: int, expires_at: float) -> None:
        """A declaration fails if it has not been started by then."""
        insert = "INSERT OR REPLACE INTO expiry (declaration, expires_at) VALUES (?, ?)"
        self._database.execute(insert, (id, expires_at))

    def started(self, ids: Iterable[int]) -> None:
        """These have been started, so they do not expire."""
        if self._database.execute("SELECT EXISTS (SELECT 1 FROM expiry)").fetchone()[0]:
            drop = "DELETE FROM expiry WHERE declaration = ?"
            self._database.executemany(drop, [(id,) for id in ids])

    def expire(self, now: float) -> float | None:
        """Fail some of those whose time is over; returns when more may have to.

        One that a worker holds is about to be started.
        """
        overdue = self._database.execute(OVERDUE, (now,)).fetchall()
        expired = []
        for (id,) in overdue:
            lane, due_at, status, attempt, claimed = self._row(id)
            if claimed and not attempt:
                continue  # it may come back
            if not (claimed or status or attempt):
                expired.append((id, lane, due_at, lifecycle.EXPIRED))
            self._database.execute("DELETE FROM expiry WHERE declaration = ?", (id,))
        if expired:
            self._endings.fail_waiting(expired, now, "expired")
            if len(overdue) == SLICE_ROWS:
                return now
        return self.next(now)

    def next(self, now: float) -> float | None:
        """When the next of them may fail; None if none will."""
        [moment] = self._database.execute(NEXT, (now,)).fetchone()
        return None if moment is None else float(moment)

    def _row(self, id: int) -> tuple[int, float, int, int, int | None]:
        row: tuple[int, float, int, int, int | None]
        row = self._database.execute(UNSTARTED, (id,)).fetchone()
        return row
