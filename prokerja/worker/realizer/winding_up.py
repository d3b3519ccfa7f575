"""How a realizer ends that runs several jobs at once: all of them may clean up."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn

from prokerja.worker.realizer.event_loop import is_of_loop
from prokerja.worker.realizer.interruption import Interrupted, Interruption
from prokerja.worker.realizer.leftovers import OURS
from prokerja.worker.wire.shared_page import LAST, RUNNING

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import FrameType

    from prokerja.worker.realizer.concurrent import ConcurrentRealizer


class ContextExecutor(ThreadPoolExecutor):
    """Its threads know whose they are, as those of `asyncio.to_thread` do."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix=f"{OURS}async")

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy_context().run, function, *args, **kwargs)


class InterruptionBeside(Interruption):
    """A TERM ends the process, once its jobs have cleaned up."""

    realizer: ConcurrentRealizer
    is_ending = False
    """Whether it was asked to: what ends from now on was interrupted."""

    def die(self) -> NoReturn:
        """Let the jobs in flight clean up, and end as any process does that is asked to."""
        if os.getpid() == self._process:
            if self.realizer.loop.is_running():
                raise Interrupted("the realizer was asked to end")
            self._wind_up()
        super().die()

    def _wind_up(self) -> None:
        realizer, cells = self.realizer, self._page.cells
        cells[LAST] = max(cells[LAST], cells[RUNNING])
        self.is_ending = True
        for attempt in realizer.in_flight.values():
            attempt.cancel()
        while realizer.in_flight:
            realizer.run_loop()
            for attempt in [*realizer.in_flight.values()]:
                if attempt.task is None or attempt.task.done():  # interrupted while it ended
                    realizer.forsake(attempt)
        realizer.report()

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self.die()
        loop = self.realizer.loop
        is_plain = self._page.cells[RUNNING] > 0 and not loop.is_running()
        if is_plain:
            super()._on_term(number, frame)
            return
        self.is_ending = True
        loop.call_soon_threadsafe(loop.stop)
        if self._page.cells[RUNNING] > 0 and not is_of_loop(frame):
            raise Interrupted("the job was asked to end")
