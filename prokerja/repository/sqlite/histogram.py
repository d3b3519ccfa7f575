"""How long attempts took, counted as they end, and kept whatever is purged."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from prokerja.model.metrics import BOUNDS, Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.repository.sqlite.database import Database

ADD = """
    INSERT INTO histogram (lane, completed, up_to, attempts, seconds) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
        seconds = seconds + excluded.seconds"""


class Histogram:
    """What is added is in the store with the next `write`, in whose transaction that is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._new: defaultdict[tuple[int, bool, float], list[float]] = defaultdict(list)
        database.on_rollback.append(self._new.clear)

    def add(self, lane: int, durations: Sequence[float], *, completed: bool) -> None:
        """Attempts of a lane have ended, after so many seconds."""
        if max(durations) <= BOUNDS[0]:  # as thousands of quick ones do
            self._new[lane, completed, BOUNDS[0]] += durations
            return
        for seconds in durations:
            place = min(bisect_left(BOUNDS, seconds), len(BOUNDS) - 1)
            self._new[lane, completed, BOUNDS[place]].append(seconds)

    def write(self) -> None:
        """Add what is new to what was there."""
        rows = [
            (*key, len(durations), max(sum(durations), 0.0))  # clocks are set back
            for key, durations in self._new.items()
        ]
        self._database.executemany(ADD, rows)
        self._new.clear()


def buckets(database: Database, queue: str | None) -> list[Bucket]:
    """What was counted of every queue, or of one, and each job in it."""
    query = """
        SELECT queue, name, histogram.completed, up_to, sum(attempts), sum(seconds)
        FROM histogram JOIN lane ON lane.id = histogram.lane
        WHERE :queue IS NULL OR queue = :queue GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""
    return [Bucket(*row) for row in database.execute(query, {"queue": queue})]
