"""Stops the realizers when the worker is asked to stop, or when its work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker.duties.signals import Urgency
from prokerja.worker_events import WorkerStopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker_events import Event


class Shutdown:
    """Lets running jobs finish, for `grace` seconds where that is the limit, then asks them to end.

    A second interrupt kills them. `is_done` tells whether the work is.
    """

    def __init__(
        self,
        requests: StopRequests,
        pool: Pool,
        grace: float,
        is_done: Callable[[], bool],
        tell: Callable[[Event], None],
    ) -> None:
        self._requests = requests
        self._pool = pool
        self._grace = grace
        self._is_done = is_done
        self._tell = tell
        self._told = Urgency.NONE
        """The request that was last told of."""
        self._grace_ends: float | None = None
        self.is_over = False
        """Whether the grace time has passed."""

    @property
    def due(self) -> float | None:
        """At once if something has changed; else at the end of the grace time."""
        requests = self._requests
        if requests.urgency > self._told or (requests.forced and self._pool.processes):
            return 0.0
        if not self._pool.stopping and self._is_done():
            return 0.0
        return self._grace_ends

    def run(self, now: float) -> None:
        """Take the next step towards the end."""
        requests, pool = self._requests, self._pool
        if not pool.stopping:
            pool.stop()
        if requests.urgency > self._told:
            self._take_note(now)
        if requests.forced:
            pool.kill()
        elif self._grace_ends is not None and now >= self._grace_ends:
            self._grace_ends, self.is_over = None, True
            pool.terminate()

    def _take_note(self, now: float) -> None:
        """Of a request that is more urgent than the last one."""
        requests, self._told = self._requests, self._requests.urgency
        grace = None if requests.patient else self._grace
        self._tell(WorkerStopping(requests.reason, grace, restarts=requests.restart))
        if grace is not None and self._grace_ends is None:
            self._grace_ends = now + grace
