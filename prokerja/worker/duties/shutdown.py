"""Stops the realizers when the worker is asked to stop, or when its work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker_events import WorkerStopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker_events import Event


class Shutdown:
    """Lets running jobs end for `grace` seconds, then asks them to; a second interrupt kills them.

    `is_done` tells whether the work is.
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
        self._grace_ends: float | None = None
        self.is_over = False
        """Whether the grace time has passed."""

    @property
    def due(self) -> float | None:
        """At once if something has changed; else at the end of the grace time."""
        if self._requests.forced or (not self._pool.stopping and self._is_to_stop()):
            return 0.0
        return self._grace_ends

    def run(self, now: float) -> None:
        """Take the next step towards the end."""
        requests, pool = self._requests, self._pool
        if not pool.stopping and self._is_to_stop():
            if requests.reason:
                self._tell(WorkerStopping(requests.reason, self._grace))
            pool.stop()
            self._grace_ends = now + self._grace
        if requests.forced:
            pool.kill()
        elif self._grace_ends is not None and now >= self._grace_ends:
            self._grace_ends, self.is_over = None, True
            pool.terminate()

    def _is_to_stop(self) -> bool:
        return bool(self._requests.reason) or self._is_done()
