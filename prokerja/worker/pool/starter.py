"""When to start the next realizer: at once, unless they cannot be started or load the jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.errors import CatalogError
from prokerja.events import RealizerNotStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.events import Event
    from prokerja.worker.pool.process import RealizerProcess

SLOWEST_START = 30.0
"""Seconds: the longest pause before another try."""


class Starter:
    """Starts realizers by `start`, given the ring for their notes, and remembers false starts."""

    def __init__(
        self, start: Callable[[int], RealizerProcess], tell: Callable[[Event], None]
    ) -> None:
        self._start = start
        self._tell = tell
        self._false_starts = 0
        self.at = 0.0
        """When to start the next one, in monotonic seconds."""

    def hire(self, ring: int) -> RealizerProcess | None:
        """A new realizer; None if the system has no room for one just now, which is told."""
        try:
            return self._start(ring)
        except OSError as error:
            self._tell(RealizerNotStarted(shortage.of_process(error), self._pause()))
            return None

    def succeeded(self) -> None:
        """A realizer has loaded the jobs."""
        self._false_starts = 0

    def failed(self, how: str, *, first: bool) -> None:
        """A realizer has died while it loaded them; raises CatalogError if it was the `first`."""
        if first:
            raise CatalogError(
                f"no realizer can load the jobs: {how}; `prokerja jobs --load` tells more"
            )
        self._pause()

    def _pause(self) -> float:
        """Put the next start off; returns for how many seconds."""
        self._false_starts += 1
        pause = min(2.0**self._false_starts, SLOWEST_START)
        self.at = time.monotonic() + pause
        return pause
