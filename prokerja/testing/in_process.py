"""A queue in memory that is realized in this process, by a clock that is set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, overload

from prokerja.model.worker import Taking
from prokerja.testing.asserting import AssertingQueue
from prokerja.testing.drain import Drain
from prokerja.testing.known import KnownJobs
from prokerja.times import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from prokerja.model.declaration import Declaration, Status
    from prokerja.testing.drained import Drained
    from prokerja.types import Declarable, Terms

MAX_ATTEMPTS = 10_000


class InProcessQueue(AssertingQueue):
    """A Queue for tests, whose jobs run when `drain()` is called, in the thread that calls it.

    All is as with a worker but for what takes a process of its own: time limits are not enforced,
    nothing that runs can be cancelled or suspended, and what a job changes in its process stays.
    What is to be retried waits as long as its class says, without jitter.
    """

    def __init__(
        self,
        jobs: Iterable[type] = (),
        now: float | datetime | None = None,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(":memory:")
        self.repository.chance = lambda: 0.5
        self._known = KnownJobs(jobs)
        self._resources = self._settings.resources if resources is None else resources
        self._time = 0.0
        self.now = time.time() // 1 if now is None else now

    @property
    def now(self) -> datetime:
        """The time by the clock of this queue, which stands still until it is set or advanced."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self._time, UTC)

    @now.setter
    def now(self, moment: float | datetime) -> None:
        self._time = float(moment if isinstance(moment, (int, float)) else moment.timestamp())

    def advance(self, by: str | float | timedelta) -> None:
        """Set the clock forward, by seconds, a timedelta, or a duration such as `90s` or `2h`."""
        if isinstance(by, str):
            by = duration(by)
        self._time += by if isinstance(by, (int, float)) else by.total_seconds()

    def drain(self, *, raise_errors: bool = False, most: int = MAX_ATTEMPTS) -> Drained:
        """Run all that is due, and what comes due of it, until nothing is; returns what was done.

        An error of a job is kept with it, as always; with `raise_errors`, the first one is then
        raised. Raises RuntimeError when more than `most` attempts would be made, and CatalogError
        for a class that no worker could load.
        """
        taking = Taking((), (), (self._settings.jobs,), resources=self._resources)
        drain = Drain(self.repository, self._known, self._now, self._settings.jobs, taking)
        return drain.run(raise_errors=raise_errors, most=most)

    @overload
    def wait(self, ids: int, timeout: float | None = None) -> Status: ...

    @overload
    def wait(
        self, ids: Iterable[int], timeout: float | None = None, *, any: bool = False
    ) -> dict[int, Status]: ...

    def wait(
        self, ids: int | Iterable[int], timeout: float | None = None, *, any: bool = False
    ) -> Status | dict[int, Status]:
        """Run all that is due; raises WaitedTooLong at once for what has not ended by then."""
        self.drain()
        if hasattr(ids, "__iter__"):
            return super().wait(ids, 0.0, any=any)
        return super().wait(ids, 0.0)

    def wait_for_batch(self, batch: str, timeout: float | None = None) -> dict[str, int]:
        """Run all that is due; raises WaitedTooLong at once for what has not ended by then."""
        self.drain()
        return super().wait_for_batch(batch, 0.0)

    def result(self, id: int, timeout: float | None = None) -> Any:
        """See `Queue.result`; to wait for it is to run all that is due."""
        if timeout is not None:
            self.wait(id)
        return super().result(id)

    def _now(self) -> float:
        return self._time

    def _declarations(
        self, jobs: Iterable[Declarable], options: Terms, now: float
    ) -> Iterator[Declaration]:
        jobs = self._known.following(jobs)
        return self._known.noting(super()._declarations(jobs, options, now))
