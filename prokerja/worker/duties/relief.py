"""Has another worker take jobs while this one finishes what runs, and tells it when to leave."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.backoff import Backoff
from prokerja.exit_codes import in_words
from prokerja.worker.duties.signals import Urgency
from prokerja.worker.process_end import end_of
from prokerja.worker.restart import FINISH, KILL, PAUSE, RESUME, STOP
from prokerja.worker_events import ReliefEnded, ReliefNotStarted, ReliefStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.loop import EventLoop
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.restart import Relief, Restart
    from prokerja.worker.turns import Turns
    from prokerja.worker_events import Event

RELIEF_SECONDS = 0.1
"""What finishes sooner needs no relief: to start one takes longer."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
LOOK_SECONDS = 0.5
"""Between two looks at a relief, where the system does not tell of its end."""
ORDERS = {Urgency.FINISH: FINISH, Urgency.GRACE: STOP, Urgency.NOW: KILL}


class Reliefs:
    """Those of one worker, and those of the one that was this process before.

    Those are told to finish once this one has claimed. A worker that is to end after some time or
    some jobs has none, so that nothing is counted twice.
    """

    def __init__(
        self,
        restart: Restart,
        options: WorkerOptions,
        requests: StopRequests,
        pool: Pool,
        turns: Turns,
        loop: EventLoop,
        tell: Callable[[Event], None],
    ) -> None:
        self._restart = restart
        self._requests = requests
        self._pool = pool
        self._turns = turns
        self._loop = loop
        self._tell = tell
        self._may_start = not (options.is_limited or restart.is_relief)
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._start_at: float | None = None
        """When to start one; None if there is one, or none is wanted."""
        self._look_at: float | None = None
        self._urgency = Urgency.NONE
        """Of what they were told last."""
        self._is_paused = requests.is_paused
        self._are_dismissed = not restart.reliefs
        """Whether those of the process before were told to finish."""
        self._ends: dict[Relief, int] = {}
        for relief in restart.reliefs:
            self._watch(relief)

    @property
    def are_left(self) -> bool:
        """Whether this worker has to stay for them."""
        return bool(self._restart.reliefs) and not self._requests.restart

    @property
    def due(self) -> float | None:
        """At once if there is something to tell; or when to start one, or to look at them."""
        requests = self._requests
        if not self._are_dismissed and self._turns.has_claimed:
            return 0.0
        if requests.urgency > self._urgency or requests.is_paused != self._is_paused:
            return 0.0
        if self._start_at is not None and self._pool.busy:
            return self._start_at
        return self._look_at

    def run(self, now: float) -> None:
        """Tell them what to do, start one, see who has ended."""
        requests = self._requests
        if not self._are_dismissed and self._turns.has_claimed:
            self._are_dismissed = True
            self._tell_all(FINISH)
        if requests.is_paused != self._is_paused:
            self._is_paused = requests.is_paused
            self._tell_all(PAUSE if self._is_paused else RESUME)
        if requests.urgency > self._urgency:
            self._urgency = requests.urgency
            self._start_at = None
            if requests.restart and self._may_start:
                self._start_at = now + RELIEF_SECONDS
            self._tell_all(ORDERS.get(self._urgency, b""))
        if self._start_at is not None and now >= self._start_at:
            self._start(now)
        if self._look_at is not None and now >= self._look_at:
            self._look(now)

    def close(self) -> None:
        """Leave them, and what is left to do, to the worker that this process is next."""
        self._restart.next.left = self._turns.left
        self._restart.next.is_paused = self._requests.is_paused
        for relief in [*self._ends]:
            self._unwatch(relief)

    def _start(self, now: float) -> None:
        try:
            relief = self._restart.relieve(is_paused=self._is_paused)
        except OSError as error:
            pause = self._backoff.failed()
            self._start_at = now + pause
            self._tell(ReliefNotStarted(shortage.of_process(error), pause))
            return
        self._start_at = None
        self._watch(relief)
        self._tell(ReliefStarted(relief.pid))

    def _look(self, now: float) -> None:
        """At those of whose end the system does not tell."""
        self._look_at = now + LOOK_SECONDS
        for relief in [*self._ends]:
            self._see(relief)

    def _see(self, relief: Relief) -> None:
        """Whether it has ended; if it is missed, another one starts."""
        code = relief.ended()
        if code is None:
            return
        self._unwatch(relief)
        self._restart.forget(relief)
        again = self._backoff.failed() if self._requests.restart and self._may_start else None
        if again is not None:
            self._start_at = time.monotonic() + again
        self._tell(ReliefEnded(relief.pid, in_words(code), again))

    def _watch(self, relief: Relief) -> None:
        end = self._ends[relief] = end_of(relief.pid)
        if end >= 0:
            self._loop.add(end, partial(self._see, relief))
        else:
            self._look_at = 0.0

    def _unwatch(self, relief: Relief) -> None:
        end = self._ends.pop(relief)
        if end >= 0:
            self._loop.remove(end)
            os.close(end)
        if not self._ends:
            self._look_at = None

    def _tell_all(self, orders: bytes) -> None:
        for relief in self._restart.reliefs:
            relief.tell(orders)
