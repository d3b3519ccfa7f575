"""What a worker's turns have come to, as events and as totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja.verdicts import Completed, Failed, Parked, Postponed, Released
from prokerja.worker_events import (
    JobCompleted,
    JobFailed,
    JobParked,
    JobPostponed,
    JobsSettled,
    WorkerStopped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prokerja.model.claim import Claimed, FailedAttempt
    from prokerja.verdicts import Settlement
    from prokerja.worker_events import Event


TELL_SECONDS = 1.0
"""A job that is to be run again sooner is not worth a line."""


class Totals:
    """Tells of what was settled once it is written down, and counts it."""

    def __init__(self, names: Mapping[int, str], tell: Callable[[Event], None]) -> None:
        self._names = names
        self._tell = tell
        self._totals: Counter[type] = Counter()
        self._long: set[int] = set()
        """The ids of jobs that run for a while."""

    def began(self, started: Iterable[tuple[Claimed, float]]) -> None:
        """These have been running for a while, or had been when they ended."""
        self._long.update(job.id for job, _ in started)

    def record(
        self, settled: Sequence[Settlement], failed: Sequence[FailedAttempt], now: float
    ) -> None:
        """One turn's settlements, and the attempts among them that have failed."""
        counts = Counter(type(verdict) for _, _, verdict in settled)
        self._totals.update(counts)
        lost = 0
        if self._long:
            self._tell_of_long(settled)
        if counts[Parked] or counts[Postponed]:
            self._tell_of_open(settled, {attempt.id for attempt in failed})
        for attempt in failed:
            name = self._names.get(attempt.lane, "?")
            again = None if attempt.retry_at is None else attempt.retry_at - now
            lost += again is None
            self._tell(JobFailed(attempt.id, name, attempt.number, attempt.error, again))
        if counts[Completed] or lost:
            self._tell(JobsSettled(counts[Completed], lost))

    def _tell_of_long(self, settled: Sequence[Settlement]) -> None:
        """Of those that have run for a while and have completed."""
        for id, lane, verdict in settled:
            if id in self._long:
                self._long.discard(id)
                if isinstance(verdict, Completed):
                    seconds = verdict.finished_at - verdict.started_at
                    self._tell(JobCompleted(id, self._names.get(lane, "?"), seconds))

    def _tell_of_open(self, settled: Sequence[Settlement], failed: set[int]) -> None:
        """Of attempts that are to go on, but for those that were not allowed to."""
        for id, lane, verdict in settled:
            name = self._names.get(lane, "?")
            if id in failed:
                continue
            if isinstance(verdict, Postponed) and verdict.seconds >= TELL_SECONDS:
                self._tell(JobPostponed(id, name, verdict.seconds))
            elif isinstance(verdict, Parked):
                self._tell(JobParked(id, name, verdict.timeout))

    @property
    def count(self) -> int:
        """How many attempts have ended, or come back."""
        return self._totals.total()

    def summary(self) -> WorkerStopped:
        """All turns taken together."""
        return WorkerStopped(*(self._totals[kind] for kind in (Completed, Failed, Released)))
