"""Keys come and go, and with them lanes: what has completed in many is moved to the lane beside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.repository.sqlite.codes import COMPLETED
from prokerja.repository.sqlite.starts import OpenStarts
from prokerja.repository.sqlite.turns import FORGET

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

MAX_LANES = 1000
"""With flows, and nothing open or failed in them; beyond these, the smallest are folded."""
SLICE_ROWS = 500
"""Declarations that one transaction moves: a few milliseconds."""
COUNT = "SELECT count(*) FROM lane WHERE flow"
SMALLEST = """
    SELECT id, completed FROM lane
    WHERE flow AND pending = 0 AND processing = 0 AND failed = 0 ORDER BY completed LIMIT ?"""
MOVE = f"""
    UPDATE declaration SET lane = :to WHERE id IN (
        SELECT id FROM declaration
        WHERE lane = :lane AND status = {COMPLETED} AND finished_at IS NOT NULL LIMIT :rows
    )"""
COUNTED = "UPDATE lane SET completed = completed + ? WHERE id = ?"
MERGE = """
    INSERT INTO histogram (lane, completed, up_to, attempts, seconds)
    SELECT :to, completed, up_to, attempts, seconds FROM histogram WHERE lane = :lane
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
        seconds = seconds + excluded.seconds"""
UNUSED = """
    DELETE FROM flow WHERE id NOT IN (SELECT flow FROM lane)
    AND NOT EXISTS (SELECT 1 FROM start WHERE key = 'key ' || rate_key)"""


class Folding:
    """In transactions of its own, each of a few milliseconds."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def fold(self, now: float, seconds: float) -> bool:
        """Fold for so many seconds at the most; returns whether there is more to do."""
        give_up = time.monotonic() + seconds
        while self._is_wanted():
            with self._database.writing():
                is_done = self._fold_some()
            if is_done:
                break
            if time.monotonic() >= give_up:
                return True
        with self._database.writing():
            OpenStarts(self._database).forget(now)
            self._database.execute(FORGET)
            self._database.execute(UNUSED)
        return False

    def _is_wanted(self) -> bool:
        with self._database.reading():
            [count] = self._database.execute(COUNT).fetchone()
        return bool(count > MAX_LANES)

    def _fold_some(self) -> bool:
        """Fold as many of the smallest as one transaction may; returns whether it was none."""
        [count] = self._database.execute(COUNT).fetchone()
        rows = SLICE_ROWS
        smallest = self._database.execute(SMALLEST, (min(count - MAX_LANES, rows),)).fetchall()
        for lane, completed in smallest:
            if rows <= 0:
                break
            self._fold(lane, completed, rows)
            rows -= max(completed, 1)
        return not smallest

    def _fold(self, lane: int, completed: int, rows: int) -> None:
        """Move so many of a lane's declarations to the one beside it, which has no flow."""
        execute = self._database.execute
        to = self._lanes.beside(lane)
        moved = execute(MOVE, {"lane": lane, "to": to, "rows": rows}).rowcount
        execute(COUNTED, (-moved, lane))
        execute(COUNTED, (moved, to))
        if moved == completed:
            execute(MERGE, {"lane": lane, "to": to})
            for table, column in (("histogram", "lane"), ("refusal", "lane"), ("lane", "id")):
                execute(f"DELETE FROM {table} WHERE {column} = ?", (lane,))
