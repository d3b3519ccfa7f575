"""What attempts have used, of those that took longer than a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.cost import Cost
from prokerja.repository.sqlite.codes import COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.repository.sqlite.database import Database

WRITE = """
    INSERT OR REPLACE INTO cost (declaration, attempt, peak_bytes, cpu_seconds)
    SELECT id, attempt + 1, ?, ? FROM declaration WHERE id = ?"""
LAST = """
    (SELECT json_array(peak_bytes, cpu_seconds) FROM cost WHERE declaration = d.id
    ORDER BY attempt DESC LIMIT 1)"""
"""As a column of a query about declarations `d`: that of the last attempt that has one."""
LANES, ATTEMPTS = 100, 100
"""How many of the newest are looked into: lanes of a job, and attempts of those."""
ENDED = f"""
    SELECT finished_at, peak_bytes FROM (
        SELECT id, finished_at FROM declaration
        WHERE lane = ? AND status = ? AND finished_at IS NOT NULL
        ORDER BY finished_at DESC LIMIT {ATTEMPTS}
    ) JOIN cost ON declaration = id WHERE peak_bytes IS NOT NULL"""
"""Bounded by what is looked at, and not by what is found: most jobs may be short."""


class Costs:
    """Stands inside the transactions of others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, rows: Iterable[tuple[int, Cost]]) -> None:
        """What the attempts have used that run now, by declaration; the last word stands."""
        self._database.executemany(WRITE, [(*cost, id) for id, cost in rows])

    def of(self, id: int) -> dict[int, Cost]:
        """What a declaration's attempts have used, by number."""
        query = "SELECT attempt, peak_bytes, cpu_seconds FROM cost WHERE declaration = ?"
        return {number: Cost(*cost) for number, *cost in self._database.execute(query, (id,))}

    def peaks(self, name: str) -> list[int]:
        """The peaks of the last attempts of a job, as far as they are known."""
        ended: list[tuple[float, int]] = []
        query = "SELECT id FROM lane WHERE name = ? ORDER BY id DESC LIMIT ?"
        for (lane,) in self._database.execute(query, (name, LANES)).fetchall():
            for status in (COMPLETED, FAILED):
                ended += self._database.execute(ENDED, (lane, status)).fetchall()
        return [peak for _, peak in sorted(ended, reverse=True)[:ATTEMPTS]]
