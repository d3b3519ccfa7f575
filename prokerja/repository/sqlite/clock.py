"""What waits for a moment that a clock named which was ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.repository.sqlite.slices import SLICE_ROWS

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

WAS_DUE = f"""
    SELECT pending.lane, pending.due_at, declaration.id
    FROM lane CROSS JOIN pending ON pending.lane = lane.id
    CROSS JOIN declaration ON declaration.id = pending.declaration
    WHERE lane.pending > 0 AND pending.due_at > :now AND pending.due_at <= :latest AND (
        pending.due_at <= :before AND (
            declaration.declared_at > :now OR declaration.attempt > 0 OR declaration.postponed > 0
        ) OR EXISTS (
            SELECT 1 FROM attempt WHERE attempt.declaration = declaration.id AND finished_at > :now
        )
    )
    ORDER BY pending.due_at, declaration.id LIMIT {SLICE_ROWS}"""
"""What somebody has asked for at a moment that has not come is left to that.

A retry of an attempt that ended by that clock is due now even if it was not by then, but no earlier
by more than the jump.
"""
DUE_NOW = "UPDATE pending SET due_at = ? WHERE lane = ? AND due_at = ? AND declaration = ?"
GATHERINGS = """
    UPDATE gathering SET until = max(:now, until - (:before - :now)) WHERE until > :now"""


class Clock:
    """Corrects a store after the clock was put back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_back(self, before: float, now: float) -> bool:
        """See `Repository.clock_put_back`."""
        given = {"before": before, "now": now, "latest": before + (before - now)}
        with self._database.writing():
            found = self._database.execute(WAS_DUE, given).fetchall()
            rows = [(now, *place) for place in found]
            self._database.executemany(DUE_NOW, rows)
            update = "UPDATE declaration SET due_at = ? WHERE id = ?"
            self._database.executemany(update, [(now, id) for _, _, id in found])
            is_done = len(found) < SLICE_ROWS
            if is_done:
                self._database.execute(GATHERINGS, given)
        return is_done
