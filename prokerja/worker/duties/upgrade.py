"""Notices that a newer program has migrated the file while a worker is running."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository

CHECK_SECONDS = 1.0
"""Between two checks: each takes the write lock from those who have something to write."""


class UpgradeCheck:
    """Raises Outdated where no write of the worker's own would.

    Every write transaction checks by itself. A worker that has no room for more jobs may not begin
    one for hours, so it checks after writes; `is_full` says whether the worker is busy.
    """

    def __init__(self, repository: Repository, is_full: Callable[[], bool]) -> None:
        self._repository = repository
        self._is_full = is_full
        self._seen_at = 0.0
        self.due: float | None = None
        self.detected = False
        """Whether it has happened."""

    def on_write(self, now: float) -> None:
        """Somebody writes: it may be a migration."""
        if self.due is None and not self.detected:
            self.due = max(now, self._seen_at + CHECK_SECONDS)

    def seen(self, now: float) -> None:
        """A write transaction went well: it was none."""
        self._seen_at = now
        self.due = None

    def run(self, now: float) -> None:
        """Raise Outdated if it was one."""
        if self._is_full():
            self.due = now + CHECK_SECONDS
            # A write wakes us before it can be read; the holder of the write lock sees all of them.
            with suppress(TryAgain):
                self._repository.refuse_newer()
                self.seen(now)

    def stop(self) -> None:
        """It has happened: check no more."""
        self.detected = True
        self.due = None
