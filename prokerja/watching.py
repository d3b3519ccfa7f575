"""What there is to see of a queue, second by second."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from prokerja.errors import NotFound

if TYPE_CHECKING:
    from prokerja.model.record import Record, Running
    from prokerja.model.summary import Summary
    from prokerja.queue import Queue

MINUTE = 60.0
MAX_RUNNING, MAX_FAILURES = 1000, 5
"""Jobs that a snapshot holds at the most; no more run at once than there are realizers."""


class Snapshot(NamedTuple):
    """A queue, as a few looks in a row have found it."""

    summary: Summary
    running: list[Running]
    """The longest first."""
    failures: list[Record]
    """The latest first."""
    last_second: float
    """Attempts that have ended in a second, over the last one."""
    last_minute: float
    """The same over the last minute, or since the first look."""


class Pace:
    """How many attempts end in a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at: float, ended: int) -> None:
        """So many had ended at that moment, by a clock that nobody sets."""
        self._samples.append((at, ended))
        while len(self._samples) > 2 and self._samples[1][0] <= at - MINUTE:
            self._samples.popleft()

    def over(self, seconds: float) -> float:
        """The rate over the last so many seconds, or over what is known of them."""
        if len(self._samples) < 2:
            return 0.0
        now, ended = self._samples[-1]
        before = [sample for sample in self._samples if sample[0] <= now - seconds]
        since, then = before[-1] if before else self._samples[0]
        return (ended - then) / (now - since)


class Watcher:
    """Looks at a queue, or at one queue of it, in short read transactions."""

    def __init__(self, source: Queue, queue: str | None) -> None:
        self._source = source
        self._queue = queue
        self._pace = Pace()

    def look(self, now: float) -> Snapshot:
        """What there is now, by a clock that nobody sets; raises NotFound if its file is gone."""
        metrics = self._source.metrics(self._queue)
        if self._source.repository.is_shared and not metrics.store_bytes:
            raise NotFound(f"{self._source.path} is gone")
        self._pace.add(now, sum(row.attempts for row in metrics.durations))
        return Snapshot(
            metrics.summary,
            self._source.running(self._queue, MAX_RUNNING),
            self._source.failures(self._queue, MAX_FAILURES),
            self._pace.over(1.0),
            self._pace.over(MINUTE),
        )
