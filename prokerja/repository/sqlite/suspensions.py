"""Keeping running declarations from going on, until somebody has them resumed.

A row here stands as long as the claim that covers the declaration; its worker sees to the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import NotRunning
from prokerja.repository.sqlite.codes import COMPLETED, TURNS, UNSETTLED
from prokerja.repository.sqlite.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.repository.sqlite.database import Database

ASK = """
    INSERT INTO suspension (declaration, token, since)
    SELECT declaration, token, ? FROM running WHERE declaration = ?
    ON CONFLICT DO UPDATE SET token = excluded.token, since = excluded.since
    WHERE token <> excluded.token"""
RESUME = """
    DELETE FROM suspension WHERE declaration = :id
    AND token = (SELECT token FROM running WHERE declaration = :id)"""
CLAIMED = """
    SELECT EXISTS (SELECT 1 FROM claim, json_each(claim.declarations) WHERE value = ?)"""


class Suspensions:
    """Requests to suspend, and what is suspended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def suspend(self, ids: Iterable[int], now: float) -> None:
        """Have running declarations stand still, all or none.

        Raises NotFound or NotRunning naming the first id that is not there or does not run.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                self._refuse_what_stands(id)
                self._database.execute(ASK, (now, id))

    def resume(self, ids: Iterable[int]) -> None:
        """Have suspended declarations go on, all or none.

        Raises NotFound or NotRunning naming the first id that is not there or not suspended.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                self._refuse_what_stands(id)
                if not self._database.execute(RESUME, {"id": id}).rowcount:
                    raise NotRunning(f"job {id} is running, and not suspended")

    def asked_of(self, worker: int) -> set[tuple[int, int]]:
        """What a worker is to keep still, by token and id."""
        query = "SELECT token, declaration FROM suspension WHERE token >= ? AND token < ?"
        return set(self._database.execute(query, (worker * TURNS, (worker + 1) * TURNS)))

    def _refuse_what_stands(self, id: int) -> None:
        _, status, _ = place_of(self._database, id)
        query = "SELECT 1 FROM running WHERE declaration = ?"
        if self._database.execute(query, (id,)).fetchone():
            return
        if status != UNSETTLED:
            how = "completed" if status == COMPLETED else "failed"
            raise NotRunning(f"job {id} has {how}; only a running job can be suspended or resumed")
        [claimed] = self._database.execute(CLAIMED, (id,)).fetchone()
        if claimed:
            raise NotRunning(f"job {id} is processing, but has only just begun; try again")
        raise NotRunning(f"job {id} is pending, not running; `prokerja hold {id}` keeps it from it")
