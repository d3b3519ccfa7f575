"""Has a worker take no jobs while somebody wants it to, who has sent it SIGUSR1."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.holds import Holds

KIND = "signal"
WHY = "paused by SIGUSR1; send it once more to go on"


class Pause:
    """Each signal takes back what the last one did."""

    def __init__(self, requests: StopRequests, holds: Holds) -> None:
        self._requests = requests
        self._holds = holds
        self._is_on = False

    @property
    def due(self) -> float | None:
        """At once after a signal."""
        return 0.0 if self._requests.is_paused != self._is_on else None

    def run(self, now: float) -> None:
        """Take no jobs from now on, or take them again."""
        self._is_on = self._requests.is_paused
        if self._is_on:
            self._holds.hold(KIND, WHY, time.time())
        else:
            self._holds.lift(KIND)
