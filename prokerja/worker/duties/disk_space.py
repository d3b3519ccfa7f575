"""Takes no jobs while the disk that holds the queue is nearly full.

What runs needs room for its results, and so does whoever is to clear the disk up.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prokerja.sizes import human
from prokerja.worker.service import disk_floor

if TYPE_CHECKING:
    from prokerja.worker.holds import Holds
    from prokerja.worker.turns import Turns

KIND = "disk"
LOOK_SECONDS = 1.0
"""Between two looks, however often jobs are taken."""


class DiskSpace:
    """Looks before jobs are taken, and while none are, until there is room again."""

    def __init__(self, path: str, floor: int | None, turns: Turns, holds: Holds) -> None:
        """`path` is a file's; `floor` is in bytes, None for the usual."""
        self._directory = os.path.dirname(path)
        self._floor = floor
        self._turns = turns
        self._holds = holds
        self._look_at = 0.0
        self._is_low = False

    @property
    def due(self) -> float | None:
        """A moment after the last look; None while there is nothing to take."""
        return self._look_at if self._is_low or self._turns.is_to_claim else None

    def run(self, now: float) -> None:
        """Look how much is free."""
        self._look_at = now + LOOK_SECONDS
        try:
            disk = os.statvfs(self._directory)
        except OSError:  # it is not for this duty to say what is wrong with the file
            return
        size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        floor = disk_floor(size, self._floor)
        was_low, self._is_low = self._is_low, size > 0 and free < floor
        if self._is_low:
            why = f"less than {human(floor)} is free on the disk of {self._directory}; make room"
            self._holds.hold(KIND, why, time.time())
        elif was_low:
            self._holds.lift(KIND)
