"""The job of one realizer that stands still, and for how long it has."""

from __future__ import annotations

import time


class Suspension:
    """All times are monotonic seconds; jobs are known by their sequence numbers."""

    def __init__(self) -> None:
        self._sequence = 0
        self._seconds = 0.0
        """For which that job has stood still before."""
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether it stands still now."""
        return self._since is not None

    def begin(self, sequence: int) -> None:
        """From now on, this job stands still."""
        if sequence != self._sequence:
            self._sequence, self._seconds = sequence, 0.0
        self._since = time.monotonic()

    def end(self) -> None:
        """It goes on."""
        self._seconds = self.seconds(self._sequence)
        self._since = None

    def seconds(self, sequence: int) -> float:
        """For how long a job has stood still."""
        if sequence != self._sequence:
            return 0.0
        now = 0.0 if self._since is None else time.monotonic() - self._since
        return self._seconds + now
