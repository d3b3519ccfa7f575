"""Writes down what a worker says of itself, for `report` to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import TryAgain

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository
    from prokerja.worker.holds import Holds

RETRY_SECONDS = 1.0
"""Between two tries: a full disk is a reason to say so, and a reason why nobody hears it."""


class Notes:
    """Keeps the store's notes of this worker equal to its own."""

    def __init__(self, repository: Repository, worker: int, holds: Holds) -> None:
        self._repository = repository
        self._worker = worker
        self._holds = holds
        self._retry_at: float | None = None

    @property
    def due(self) -> float | None:
        """At once after a change, or a moment after the store has refused it."""
        return (self._retry_at or 0.0) if self._holds.changed else None

    def run(self, now: float) -> None:
        """Write them down."""
        try:
            self._repository.note(self._worker, self._holds.notes)
        except TryAgain:
            self._retry_at = now + RETRY_SECONDS
        else:
            self._holds.changed, self._retry_at = False, None
