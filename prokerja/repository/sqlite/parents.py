"""The results that the jobs of a claim are given of those that they have waited for."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from prokerja.model.result import MAX_GIVEN_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prokerja.repository.sqlite.database import Database

PAIRS = """
    SELECT child, one.parent FROM claim CROSS JOIN json_each(claim.declarations) AS held
    CROSS JOIN dependency AS one ON child = held.value WHERE token = ?"""
"""Of each child in turn, the parents in the order of their ids."""
RESULT = "SELECT result FROM declaration WHERE id = ?"


class ParentResults:
    """Those of one claim: each is read once, however many of its children are given it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: dict[int, str | None] = {}

    def of_claim(self, token: int) -> Iterator[tuple[int, dict[int, str | None]]]:
        """Each child with its parents' results; None for those that are not there."""
        pairs = self._database.execute(PAIRS, (token,))
        for child, rows in groupby(pairs, itemgetter(0)):
            yield child, self._as_far_as_they_fit(parent for _, parent in rows)

    def _as_far_as_they_fit(self, parents: Iterable[int]) -> dict[int, str | None]:
        given = dict.fromkeys(parents)
        room = MAX_GIVEN_BYTES
        for parent in given:
            result = self._result(parent)
            room -= len(result or "")
            if room < 0:
                break
            given[parent] = result
        return given

    def _result(self, id: int) -> str | None:
        if id not in self._read:
            row = self._database.execute(RESULT, (id,)).fetchone()
            self._read[id] = row[0] if row else None
        return self._read[id]
