"""What a worker does beside its work: purge old jobs; and, while idle, shorten the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy
from prokerja.model.declaration import Status

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository
    from prokerja.settings import Settings

IDLE_SECONDS = 5.0
"""Before the first round of an idle worker."""
BUSY_SECONDS = 60.0
"""Between rounds of a busy one, and at least between those of any other."""
ROUND_SECONDS = 600.0
"""Between rounds while the queue stays idle."""
SLICE_SECONDS = 0.02
"""For which the worker does nothing else."""
REST_FACTOR = 4
"""A slice of a busy worker is followed by work for so many times as long."""
RETRY_SECONDS = 1.0
"""Before another try where somebody else was writing."""


class Maintenance:
    """Done in rounds, and those in slices."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository = repository
        self._keep = {
            Status.COMPLETED: settings.keep_completed,
            Status.FAILED: settings.keep_failed,
        }
        self.idle_since: float | None = None
        """Since when nothing is due or running, in monotonic seconds; None if something is."""
        self.due = time.monotonic() + BUSY_SECONDS
        """When to run, in monotonic seconds."""

    def note(self, now: float, *, idle: bool) -> None:
        """Whether nothing is due or running."""
        if idle != self._is_idle:
            self.idle_since = now if idle else None
            self.due = min(self.due, now + (IDLE_SECONDS if idle else BUSY_SECONDS))

    def stop(self) -> None:
        """Do nothing more: the file is not ours to write any longer."""
        self.due = float("inf")

    def run(self) -> None:
        """One slice; raises StoreError if the store refuses it."""
        began, today = time.monotonic(), time.time()
        try:
            self._repository.mend(today)
            more_at = self._repository.purge_old(self._keep, today, SLICE_SECONDS)
        except Busy:
            self.due = began + RETRY_SECONDS
            return
        ended = time.monotonic()
        if more_at is not None and more_at <= today:
            self.due = ended if self._is_idle else ended + REST_FACTOR * (ended - began)
        else:
            self.due = ended + self._pause(more_at, today)
            if self._is_idle:
                self._repository.maintain()

    @property
    def _is_idle(self) -> bool:
        return self.idle_since is not None

    def _pause(self, more_at: float | None, today: float) -> float:
        """Seconds until the next round, if the next job is to go at that moment."""
        if not self._is_idle:
            return BUSY_SECONDS
        wanted = ROUND_SECONDS if more_at is None else more_at - today
        return min(max(wanted, BUSY_SECONDS), ROUND_SECONDS)
