"""A newer program migrates the file while a worker is at it: noticed, and heeded."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain

if TYPE_CHECKING:
    from prokerja.errors import Outdated
    from prokerja.repository.sqlite.database import Database
    from prokerja.worker.duties.signals import StopRequests

REST = 1.0
"""Seconds between two looks: each takes the write lock from those who have something to write."""


class UpgradeCheck:
    """Has the worker stop in good order; all times are monotonic seconds.

    Every write transaction looks by itself. A worker that has no room for more jobs may not begin
    one for hours, so it looks when somebody has written.
    """

    def __init__(self, database: Database, stops: StopRequests) -> None:
        self._database = database
        self._stops = stops
        self._seen_at = 0.0
        self.met = False
        """Whether it has happened."""
        self.at: float | None = None
        """When to look."""

    def stir(self, now: float) -> None:
        """Somebody writes: it may be a migration."""
        if self.at is None and not self.met:
            self.at = max(now, self._seen_at + REST)

    def seen(self, now: float) -> None:
        """A write transaction went well: it was none."""
        self._seen_at = now
        self.at = None

    def look(self, now: float) -> None:
        """Raise Outdated if it was one, and there is reason to ask."""
        if self.at is None or now < self.at:
            return
        self.at = now + REST
        # A write wakes us before it can be read; whoever has the write lock sees all of them.
        with suppress(TryAgain), self._database.writing():
            self.seen(now)

    def heed(self, error: Outdated) -> None:
        """Ask the worker to stop."""
        self.met = True
        self.at = None
        self._stops.request(error.what, outdated=True)
