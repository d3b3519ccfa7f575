"""Steps that jobs have done, and their values, which the next attempt is given.

Values are dropped when the declaration has completed; what was done when stays until it is purged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.json import encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from prokerja.repository.sqlite.database import Database

KEEP = """
    INSERT INTO step (declaration, name, result, done_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (declaration, name) DO NOTHING"""
ANY = "SELECT EXISTS (SELECT 1 FROM step WHERE result IS NOT NULL)"
BETWEEN = """
    SELECT EXISTS (SELECT 1 FROM step WHERE result IS NOT NULL AND declaration BETWEEN ? AND ?)"""
RESULTS = """
    SELECT declaration, name, result FROM json_each(?) AS wanted CROSS JOIN step
    ON step.declaration = wanted.value AND step.result IS NOT NULL"""
CLOSE = """
    UPDATE step SET result = NULL
    WHERE result IS NOT NULL AND declaration IN (SELECT value FROM json_each(?))"""


class Steps:
    """Stands inside the transactions of others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exist(self) -> bool:
        """Whether any declaration has values of steps; the answer costs the same in any file."""
        return bool(self._database.execute(ANY).fetchone()[0])

    def keep(self, rows: Iterable[tuple[int, str, str]], now: float) -> None:
        """Steps by declaration, name and value; of two of one name, the first stands."""
        self._database.executemany(KEEP, [(*row, now) for row in rows])

    def results(self, ids: Collection[int]) -> dict[int, dict[str, str]]:
        """The values of the steps of these declarations by name, if they have any."""
        found: defaultdict[int, dict[str, str]] = defaultdict(dict)
        if self._any_of(ids):
            text = encode(list(ids)).decode()
            for id, name, result in self._database.execute(RESULTS, (text,)):
                found[id][name] = result
        return found

    def close(self, ids: Collection[int]) -> None:
        """These declarations have completed."""
        if self._any_of(ids):
            self._database.execute(CLOSE, (encode(list(ids)).decode(),))

    def _any_of(self, ids: Collection[int]) -> bool:
        if not ids:
            return False
        return bool(self._database.execute(BETWEEN, (min(ids), max(ids))).fetchone()[0])
