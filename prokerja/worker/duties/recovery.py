"""Puts back what dead workers held, the moment their locks are let go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.worker.pool.exits import from_journal
from prokerja.worker.totals import Totals
from prokerja.worker.wire import journal
from prokerja.worker_events import JobsRecovered, LockLeft, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository, Watch
    from prokerja.verdicts import Ended
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker_events import Event

CHECK_SECONDS = 0.2
"""Between two looks at who is there, unless one of them may have died."""
AFTER_WRITE_SECONDS = 0.05
"""Before such a look: what was written may be a job, and that comes first."""
RETRY_SECONDS = 1.0
"""Before another look where the last one failed, for want of a descriptor."""


class Recovery:
    """Notices other workers when they come, and recovers what they held when they die."""

    def __init__(
        self,
        repository: Repository,
        own: int,
        watch: Watch,
        tell: Callable[[Event], None],
        on_recovered: Callable[[], None] = lambda: None,
    ) -> None:
        self._repository = repository
        self._own = own
        self._watch = watch
        self._tell = tell
        self._on_recovered = on_recovered
        self._known: set[int] = set()
        self._checked_at = 0.0
        self._check_at: float | None = None
        """When to look who is there; None while nothing is written."""
        self._stopped = False
        self.suspected = True
        """Whether one of them may have died since the last look."""

    @property
    def due(self) -> float | None:
        """At once if one may have died; a moment after a write if a new one may have come."""
        if self._stopped:
            return None
        if self.suspected:
            return 0.0 if self._watch.pace is None else self._checked_at + CHECK_SECONDS
        return self._check_at

    @property
    def is_stirred(self) -> bool:
        """Whether to hear of another write would change nothing."""
        return self._stopped or self._check_at is not None

    def on_write(self, now: float) -> None:
        """Something was written, perhaps a new worker's name."""
        soon = now + AFTER_WRITE_SECONDS
        self._check_at = self._check_at or max(soon, self._checked_at + CHECK_SECONDS)

    def stop(self) -> None:
        """Recover nothing more: the file is not ours to write any longer."""
        self._stopped = True

    def run(self, now: float) -> None:
        """Recover what dead workers held, if there are any."""
        others = {worker.id for worker in self._repository.workers()} - {self._own}
        try:
            if others != self._known or self.suspected:
                self._check(others)
        except OSError as error:
            self._put_off(now, error)
        else:
            self._checked_at, self._check_at = now, None

    def _put_off(self, now: float, error: OSError) -> None:
        """Look again later; the jobs of this worker go on meanwhile."""
        self._known, self.suspected = set(), False
        self._checked_at, self._check_at = now, now + RETRY_SECONDS
        why = shortage.in_words(error) or str(error)
        self._tell(StoreTroubled(f"cannot see which other workers are alive: {why}"))

    def _check(self, others: set[int]) -> None:
        dead, living = self._repository.find_dead(others, self._watch)
        if dead:
            self._recover(dead)
        self._known = living
        self.suspected = False

    def _recover(self, dead: list[int]) -> None:
        ended = {worker: self._journalled(worker) for worker in dead}
        now = time.time()
        for one in self._repository.recover(dead, ended, now):
            if one.left is not None:
                self._tell(LockLeft(one.left.filename, one.left.strerror or str(one.left)))
            self._tell(JobsRecovered(one.worker, len(one.settled), one.returned))
            Totals(one.names, self._tell).record(one.settled, one.failed, now)
        self._on_recovered()

    def _journalled(self, worker: int) -> dict[Claim, Ended]:
        """What a dead worker and its realizers have written down, but for what none could."""
        path, rings = self._repository.journals(worker)
        ended = journal.read_all(path, rings + 1)
        return {claim: end for claim, end in ended.items() if from_journal(end) is not None}
