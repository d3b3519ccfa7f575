"""What a worker does when there is nothing else to do: purge old jobs, shorten the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.model.declaration import Status

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository
    from prokerja.settings import Settings

IDLE_SECONDS = 5.0
"""Before the first round."""
ROUND_SECONDS = 600.0
"""Between rounds while the queue stays idle."""
ROWS_AT_ONCE = 2000
"""Declarations that are purged before the worker looks up again."""


class Maintenance:
    """Done in small pieces, while idle."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository = repository
        self._keep = {
            Status.COMPLETED: settings.keep_completed,
            Status.FAILED: settings.keep_failed,
        }
        self.due: float | None = None
        """None while the worker is busy."""

    def on_busy(self) -> None:
        """There is real work."""
        self.due = None

    def on_idle(self, now: float) -> None:
        """Nothing is due or running, since now or since before."""
        if self.due is None:
            self.due = now + IDLE_SECONDS

    def run(self, now: float) -> None:
        """One piece."""
        today = time.time()
        purged = sum(self._purge(status, today - keep) for status, keep in self._keep.items())
        if purged < ROWS_AT_ONCE:
            self._repository.maintain()
            self.due = now + ROUND_SECONDS
        else:
            self.due = now

    def _purge(self, status: Status, before: float) -> int:
        return self._repository.purge(status, before, most=ROWS_AT_ONCE)
