"""Has a worker leave after some time, or once it has had nothing to do for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.times import human

if TYPE_CHECKING:
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.duties.signals import StopRequests


class Lifespan:
    """It leaves at `ends_at`, in monotonic seconds, or after so many idle seconds; None: never."""

    def __init__(
        self,
        requests: StopRequests,
        maintenance: Maintenance,
        ends_at: float | None,
        idle_seconds: float | None,
    ) -> None:
        self._requests = requests
        self._maintenance = maintenance
        self._ends_at = ends_at
        self._idle_seconds = idle_seconds

    @property
    def due(self) -> float | None:
        """The earlier of the two moments."""
        if self._requests.reason:
            return None
        return min((at for at in (self._ends_at, self._idle_until) if at is not None), default=None)

    def run(self, now: float) -> None:
        """Finish what runs, and leave."""
        if self._ends_at is not None and self._ends_at <= now:
            self._requests.request("its time is over", patient=True)
        elif self._idle_seconds is not None:
            idle = human(self._idle_seconds)
            self._requests.request(f"it has had nothing to do for {idle}", patient=True)

    @property
    def _idle_until(self) -> float | None:
        since = self._maintenance.idle_since
        if since is None or self._idle_seconds is None:
            return None
        return since + self._idle_seconds
