"""What has happened of which somebody wants to be told: written with it, for a worker to tell of.

Nothing is written unless somebody has said so: the settings of a worker, a declaration, or a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.declaration import NOTIFY
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.repository.sqlite.database import Database

MAX_ERROR_CHARACTERS = 4000
USED = """
    SELECT EXISTS (SELECT 1 FROM happening), EXISTS (SELECT 1 FROM gathering),
        EXISTS (SELECT 1 FROM notice_rule WHERE kind = 'queue_stuck')"""
IS_WANTED = "SELECT EXISTS (SELECT 1 FROM notice_rule WHERE kind = ?)"
WANTED_BY_FEW = """
    SELECT EXISTS (SELECT 1 FROM on_failure)
        OR EXISTS (SELECT 1 FROM catalog WHERE instr(spec, '"on_failure"'))"""
"""Whether failures are wanted of single declarations, or of a class."""
ENDED = f"""
    INSERT INTO happening (kind, facts, name, directory, rule)
    SELECT :kind, json_object(
        'id', d.id, 'job', lane.name, 'queue', lane.queue, 'attempt', d.attempt,
        'error', iif(:kind = 'failed', (
            SELECT substr(error, 1, {MAX_ERROR_CHARACTERS}) FROM attempt
            WHERE declaration = d.id ORDER BY number DESC LIMIT 1
        ), NULL),
        'label', d.label, 'batch', d.batch, 'at', :at
    ), lane.name, lane.directory, own.rule
    FROM json_each(:ids) AS one CROSS JOIN declaration AS d ON d.id = one.value
    JOIN lane ON lane.id = d.lane
    LEFT JOIN on_failure AS own ON own.declaration = d.id AND :kind = 'failed'
    WHERE lane.queue <> '{NOTIFY}' AND (:all OR own.rule IS NOT NULL OR EXISTS (
        SELECT 1 FROM catalog WHERE catalog.name = lane.name AND instr(spec, '"on_failure"')
    )) ORDER BY one.key"""
"""Of a notice nobody is told: that could go on for ever."""
DOWN = """
    INSERT INTO happening (kind, facts)
    SELECT 'worker_down', json_object('worker', id, 'pid', pid, 'returned', ?, 'at', ?)
    FROM worker WHERE id = ?"""


class Happenings:
    """Inside the transaction at hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def used(self) -> tuple[int, int, int]:
        """Whether something has happened, was gathered, and is to be looked for."""
        used: tuple[int, int, int] = self._database.execute(USED).fetchone()
        return used

    def are_wanted(self) -> bool:
        """Whether anybody wants to be told of anything."""
        some = "SELECT EXISTS (SELECT 1 FROM notice_rule)"
        wanted = (self._database.execute(query).fetchone()[0] for query in (some, WANTED_BY_FEW))
        return any(wanted)

    def ended(self, completed: Sequence[int], failed: Sequence[int], now: float) -> None:
        """These have completed, and those have failed for good."""
        if completed and self._is_wanted("completed"):
            self._write("completed", completed, now, all=True)
        if failed:
            by_all = self._is_wanted("failed")
            if by_all or self._database.execute(WANTED_BY_FEW).fetchone()[0]:
                self._write("failed", failed, now, all=by_all)

    def worker_down(self, worker: int, returned: int, now: float) -> None:
        """A worker is dead, which held so many declarations; it is not struck off yet."""
        if self._is_wanted("worker_down"):
            self._database.execute(DOWN, (returned, iso(now), worker))

    def set_rule(self, id: int, rule: str) -> None:
        """What a declaration itself wants to be run when it has failed for good."""
        insert = "INSERT OR REPLACE INTO on_failure (declaration, rule) VALUES (?, ?)"
        self._database.execute(insert, (id, rule))

    def set_rules(self, worker: int, rules: Sequence[tuple[str, str]]) -> None:
        """What a new worker's settings want; those of workers that have left do so no more."""
        if rules or self._database.execute("SELECT 1 FROM notice_rule LIMIT 1").fetchone():
            drop = "DELETE FROM notice_rule WHERE worker NOT IN (SELECT id FROM worker)"
            self._database.execute(drop)
            insert = "INSERT INTO notice_rule (worker, kind, rule) VALUES (?, ?, ?)"
            self._database.executemany(insert, [(worker, *rule) for rule in rules])

    def _is_wanted(self, kind: str) -> bool:
        return bool(self._database.execute(IS_WANTED, (kind,)).fetchone()[0])

    def _write(self, kind: str, ids: Sequence[int], now: float, *, all: bool) -> None:
        given = {"kind": kind, "ids": str(list(ids)), "all": all, "at": iso(now)}
        self._database.execute(ENDED, given)
