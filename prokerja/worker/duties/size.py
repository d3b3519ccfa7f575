"""Ends a worker whose own process has grown beyond the memory limit."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prokerja import sizes
from prokerja.exit_codes import TOO_LARGE
from prokerja.worker import memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.signals import StopRequests

CHECK_SECONDS = 60.0
"""Between two looks, while there are jobs: without any, nothing grows."""


class OwnSize:
    """A process that is larger from the first is somebody's program, and its own affair."""

    def __init__(
        self,
        limit: int,
        requests: StopRequests,
        is_busy: Callable[[], bool],
        held: Callable[[int], int] = memory.held,
    ) -> None:
        self._limit = limit
        self._requests = requests
        self._is_busy = is_busy
        self._held = held
        self._checked_at = time.monotonic()
        self._applies = held(os.getpid()) <= limit

    @property
    def due(self) -> float | None:
        """When to look; None while it has no jobs."""
        return self._checked_at + CHECK_SECONDS if self._applies and self._is_busy() else None

    def run(self, now: float) -> None:
        """Ask the worker to finish if it is too large."""
        self._checked_at = now
        size = self._held(os.getpid())
        if size > self._limit:
            self._applies = False
            found, limit = sizes.human(size), sizes.human(self._limit)
            why = f"it holds {found} itself, and may hold {limit}"
            self._requests.request(why, TOO_LARGE, patient=True)
