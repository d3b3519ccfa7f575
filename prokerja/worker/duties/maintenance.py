"""What a worker does when there is nothing else to do: forget old jobs, shorten the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model import Status

if TYPE_CHECKING:
    from prokerja.repository.sqlite.repository import Repository
    from prokerja.settings import Settings

FIRST = 5.0
"""Seconds of idleness before the first chore."""
EVERY = 600.0
"""Seconds between rounds while the queue stays idle."""
PIECE = 2000
"""Declarations that are forgotten before the worker looks up again."""


class Maintenance:
    """Done in small pieces, while idle; all times but `now` are monotonic seconds."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository = repository
        self._keep = {
            Status.COMPLETED: settings.keep_completed,
            Status.FAILED: settings.keep_failed,
        }
        self.at = FIRST
        """When the next piece is to be done."""

    def postpone(self, monotonic: float) -> None:
        """There is real work."""
        self.at = monotonic + FIRST

    def due(self, monotonic: float) -> bool:
        return monotonic >= self.at

    def do(self, monotonic: float, now: float) -> None:
        """One piece; `now` is the time of day."""
        forgotten = sum(self._forget(status, now - keep) for status, keep in self._keep.items())
        if forgotten < PIECE:
            self._repository.database.shorten_log()
            self.at = monotonic + EVERY
        else:
            self.at = monotonic

    def _forget(self, status: Status, before: float) -> int:
        lanes = self._repository.lanes.matching(None, None)
        return self._repository.declarations.purge(lanes, status, before, most=PIECE)
