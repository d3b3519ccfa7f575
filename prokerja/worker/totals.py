"""What a worker's turns have come to, as events and as totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja.events import JobFailed, JobsSettled, WorkerStopped
from prokerja.verdicts import Completed, Failed, Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prokerja.events import Event
    from prokerja.model.claim import FailedAttempt
    from prokerja.verdicts import Settlement


class Totals:
    """Tells of what was settled once it is written down, and counts it."""

    def __init__(self, names: Mapping[int, str], tell: Callable[[Event], None]) -> None:
        self._names = names
        self._tell = tell
        self._totals: Counter[type] = Counter()

    def record(
        self, settled: Iterable[Settlement], failed: Iterable[FailedAttempt], now: float
    ) -> None:
        """One turn's settlements, and the attempts among them that have failed."""
        counts = Counter(type(verdict) for _, _, verdict in settled)
        self._totals.update(counts)
        lost = 0
        for attempt in failed:
            name = self._names.get(attempt.lane, "?")
            again = None if attempt.retry_at is None else attempt.retry_at - now
            lost += again is None
            self._tell(JobFailed(attempt.id, name, attempt.number, attempt.error, again))
        if counts[Completed] or lost:
            self._tell(JobsSettled(counts[Completed], lost))

    def summary(self) -> WorkerStopped:
        """All turns taken together."""
        return WorkerStopped(*(self._totals[kind] for kind in (Completed, Failed, Released)))
