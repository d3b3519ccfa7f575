"""Notices that the store was replaced, deleted, written over or made read-only.

Every turn sees by itself whether its files are there. A worker that has nothing to write takes no
turn, so it looks when the system tells that a file has changed, and after others have written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository, Watch

SUSPECT_SECONDS = 0.2
"""Between two looks where something has happened to a file; most often it was a checkpoint."""
CHECK_SECONDS = 1.0
"""Between two looks while others write, or where the system does not tell."""
AFTER_WRITE_SECONDS = 0.05
"""Before the first of them: what was written may be a job, and that comes first."""


class FileCheck:
    """Raises StoreGone where no turn would."""

    def __init__(self, repository: Repository, worker: int, watch: Watch) -> None:
        self._repository = repository
        self._worker = worker
        self._watch = watch
        self._checked_at = 0.0
        self._check_at: float | None = None
        """When to look since others have written; None while they do not."""

    @property
    def due(self) -> float | None:
        """A moment after something has happened; None while nothing does, and it would be told."""
        if self._watch.suspects:
            return self._checked_at + SUSPECT_SECONDS
        if not self._watch.sees_files:
            return self._checked_at + CHECK_SECONDS
        return self._check_at

    def on_write(self, now: float) -> None:
        """Somebody writes: we might be the ones who would not see it."""
        if self._check_at is None:
            self._check_at = max(now + AFTER_WRITE_SECONDS, self._checked_at + CHECK_SECONDS)

    def run(self, now: float) -> None:
        """Look closely."""
        self._checked_at, self._check_at, self._watch.suspects = now, None, False
        self._repository.refuse_gone(self._worker)
