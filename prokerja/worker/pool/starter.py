"""When to start the next realizer: at once, unless they cannot be started or load the jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.backoff import Backoff
from prokerja.errors import JobsNotLoaded
from prokerja.worker_events import RealizerNotStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker_events import Event

FIRST_PAUSE_SECONDS = 2.0
MAX_PAUSE_SECONDS = 30.0


class Starter:
    """Starts realizers by `start`, given the ring for their journal."""

    def __init__(
        self, start: Callable[[int], RealizerProcess], tell: Callable[[Event], None]
    ) -> None:
        self._start = start
        self._tell = tell
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self.due = 0.0
        """When to start the next one, in monotonic seconds."""

    def start(self, ring: int) -> RealizerProcess | None:
        """A new realizer; None, and an event, if the system has no room for one now."""
        try:
            return self._start(ring)
        except OSError as error:
            self._tell(RealizerNotStarted(shortage.of_process(error), self._pause()))
            return None

    def succeeded(self) -> None:
        """A realizer has loaded the jobs."""
        self._backoff.reset()

    def failed(self, how: str, *, first: bool) -> None:
        """A realizer has died while it loaded them; raises JobsNotLoaded if it was the `first`."""
        if first:
            raise JobsNotLoaded(
                f"no realizer can load the jobs: {how}; `prokerja jobs --load` tells more"
            )
        self._pause()

    def _pause(self) -> float:
        """Put the next start off; returns for how many seconds."""
        pause = self._backoff.failed()
        self.due = time.monotonic() + pause
        return pause
