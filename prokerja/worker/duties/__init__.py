"""What a supervisor does besides running jobs: one file for each duty, all of one shape."""

from __future__ import annotations

from typing import Protocol


class Duty(Protocol):
    """Something that a supervisor does when its time has come."""

    @property
    def due(self) -> float | None:
        """When to run, in monotonic seconds; None: not by itself."""

    def run(self, now: float) -> None:
        """Do it; `now` is monotonic seconds. Raises StoreError if the store refuses it."""
