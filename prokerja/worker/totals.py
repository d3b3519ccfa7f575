"""What a worker's turns have come to, as events and as totals."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja.events import JobFailed, JobsSettled, WorkerStopped
from prokerja.model import Completed, Failed, Fate, Returned, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prokerja.events import Event


class Totals:
    """Tells of verdicts once they are written down, and counts them."""

    def __init__(self, names: Mapping[int, str], tell: Callable[[Event], None]) -> None:
        self._names = names
        self._tell = tell
        self._totals: Counter[type] = Counter()

    def bring_in(self, verdicts: Sequence[Verdict], fates: Iterable[Fate], now: float) -> None:
        """One turn's verdicts; `fates` are those of the failed ones."""
        counts = Counter(map(type, verdicts))
        self._totals.update(counts)
        failed = {v.id: v for v in verdicts if type(v) is Failed}
        lost = 0
        for id, attempt, retry_at in fates:
            name = self._names.get(failed[id].lane, "?")
            again = None if retry_at is None else retry_at - now
            lost += again is None
            self._tell(JobFailed(id, name, attempt, failed[id].error, again))
        if counts[Completed] or lost:
            self._tell(JobsSettled(counts[Completed], lost))

    def summary(self) -> WorkerStopped:
        """All turns taken together."""
        return WorkerStopped(*(self._totals[kind] for kind in (Completed, Failed, Returned)))
