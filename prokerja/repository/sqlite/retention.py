"""Deletes what has been kept for long enough, in slices that hold nobody up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja.lifecycle import kept_for
from prokerja.repository.sqlite.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prokerja.model.declaration import Status
    from prokerja.repository.sqlite.database import Database

    Purge = Callable[[int, Status, float, int], int]

OLDEST = """
    SELECT lane.id, coalesce(json_extract(job.spec, '$.keep'), (
        SELECT max(json_extract(spec, '$.keep')) FROM job AS other
        WHERE other.name = lane.name AND lane.directory = ''
        HAVING count(DISTINCT coalesce(json_extract(spec, '$.keep'), -1)) = 1
    )), (
        SELECT min(finished_at) FROM declaration
        WHERE declaration.lane = lane.id AND status = ? AND finished_at IS NOT NULL
    )
    FROM lane LEFT JOIN job ON job.name = lane.name AND job.directory = lane.directory
    WHERE lane.{status} > 0"""
"""A job of no directory is kept as every directory says that has one of its name."""
OLDEST_EVENT = """
    SELECT at FROM event WHERE seq < (SELECT max(seq) FROM event) ORDER BY seq LIMIT 1"""
"""The last one stays: the next gets the number after its."""
PURGE_EVENTS = """
    DELETE FROM event WHERE at < :before AND seq < (SELECT max(seq) FROM event)
    AND seq < :rows + (SELECT min(seq) FROM event)"""
EVENT_ROWS = 100
"""Of one transaction; each may tell of thousands of jobs."""
MIN_ROWS, FIRST_ROWS, MAX_ROWS = 10, 100, 2000
"""Of one transaction: as many as take a part of the time that there is."""


class Oldest(NamedTuple):
    """What ended first, of one lane and status."""

    lane: int
    status: Status
    keep: float
    """Seconds for which such are kept."""
    finished_at: float


class Retention:
    """`purge` deletes, of a lane and a status, so many at the most that ended before a moment."""

    def __init__(self, database: Database, purge: Purge) -> None:
        self._database = database
        self._purge = purge
        self._rows = FIRST_ROWS

    def purge_old(self, keep: Mapping[Status, float], now: float, seconds: float) -> float | None:
        """See `Repository.purge_old`."""
        give_up = time.monotonic() + seconds
        with self._database.reading():
            oldest = list(self._oldest(keep))
        due = [one for one in oldest if one.finished_at < now - one.keep]
        for n, one in enumerate(due, 1):
            is_done = self._purge_lane(one, now, seconds, give_up)
            if not is_done or (n < len(due) and time.monotonic() >= give_up):
                return now
        if not self._purge_events(now - max(keep.values(), default=0.0), give_up):
            return now
        with self._database.reading():
            expire = [one.finished_at + one.keep for one in self._oldest(keep)]
        # What is over and still there is kept for those who wait for it.
        return min((moment for moment in expire if moment >= now), default=None)

    def _oldest(self, keep: Mapping[Status, float]) -> Iterator[Oldest]:
        for status, usual in keep.items():
            query = OLDEST.format(status=status.value)
            for lane, own, first in self._database.execute(query, (CODES[status],)):
                if first is not None:
                    yield Oldest(lane, status, kept_for(status, usual, own), first)

    def _purge_lane(self, one: Oldest, now: float, seconds: float, give_up: float) -> bool:
        """Whether all could be deleted in the time there is; some are in any case."""
        while True:
            began, rows = time.monotonic(), self._rows
            gone = self._purge(one.lane, one.status, now - one.keep, rows)
            ended = time.monotonic()
            self._adjust(gone, ended - began, seconds)
            if gone < rows:
                return True
            if ended >= give_up:
                return False

    def _purge_events(self, before: float, give_up: float) -> bool:
        """Whether all could be deleted in the time there is; some are in any case."""
        while True:
            with self._database.reading():
                [oldest] = self._database.execute(OLDEST_EVENT).fetchone() or (before,)
            if oldest >= before:
                return True
            with self._database.writing():
                self._database.execute(PURGE_EVENTS, {"before": before, "rows": EVENT_ROWS})
            if time.monotonic() >= give_up:
                return False

    def _adjust(self, gone: int, took: float, seconds: float) -> None:
        if took > seconds / 2:
            self._rows = max(self._rows // 2, MIN_ROWS)
        elif took < seconds / 8 and gone == self._rows:
            self._rows = min(self._rows * 2, MAX_ROWS)
