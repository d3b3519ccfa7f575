"""What a queue answers: counts, lists, all about one job, and how jobs have ended."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from prokerja.model.declaration import Status
    from prokerja.model.job_record import JobRecord
    from prokerja.model.metrics import Metrics
    from prokerja.model.record import Condition, Detail, Filter, Record, Running
    from prokerja.model.summary import Summary
    from prokerja.repository.verbs import Repository
    from prokerja.types import Wanted


class Answers:
    """The verbs of a Queue that read, and wait; they change nothing."""

    @property
    @abstractmethod
    def repository(self) -> Repository:
        """What is stored."""

    def _now(self) -> float:
        """The time by the clock of this queue, in seconds since the epoch."""
        return time.time()

    def summary(self, queue: str | None = None, batch: str | None = None) -> Summary:
        """How many jobs stand where; raises NotFound for a batch that is not there."""
        return self.repository.summary(queue, self._now(), batch)

    def metrics(self, queue: str | None = None) -> Metrics:
        """Counts, durations of attempts, and sizes."""
        return self.repository.metrics(queue, self._now())

    def job(self, id: int) -> JobRecord:
        """One job as it stands; raises NotFound."""
        from prokerja import reading

        return reading.read(self.repository, id)

    def find(self, *, limit: int = 100, **wanted: Unpack[Wanted]) -> list[JobRecord]:
        """The jobs that match, newest first; all of them if nothing is wanted.

        By status, queue, job (the name of its class), label, batch, since and until (of the
        declaration), and by what the error contains.
        """
        from prokerja import reading

        return reading.find(self.repository, wanted, limit)

    def result(self, id: int, timeout: float | None = None) -> Any:
        """What a completed job has returned; with `timeout`, waits so many seconds for its end.

        Raises NotFound, JobFailed for one that has failed, NotEnded for one that has not ended and
        was not to be waited for, ResultCut for what was too long to be kept, and WaitedTooLong.
        """
        from prokerja import reading

        return reading.result(self.repository, id, timeout)

    def detail(self, id: int) -> Detail:
        """All about one job, and why it is not running; raises NotFound."""
        return self.repository.find(id, self._now())

    def why(self, id: int) -> list[Condition]:
        """All that has to be so for a worker to claim a job, and what of it is; raises NotFound."""
        return self.repository.conditions(id, self._now())

    def newest(self, wanted: Filter | None = None, limit: int = 20) -> list[Record]:
        """Jobs that match, all if nothing is wanted, newest first."""
        from prokerja.model.record import Filter

        return self.repository.newest(wanted or Filter(), limit)

    def failures(self, queue: str | None = None, limit: int = 20) -> list[Record]:
        """Jobs that have failed for good, the latest end first."""
        return self.repository.failures(queue, limit)

    def running(self, queue: str | None = None, limit: int = 20) -> list[Running]:
        """Jobs that have been running for a moment at least, the longest first."""
        return self.repository.running(queue, limit)

    def open_ids(
        self, queue: str | None = None, label: str | None = None, batch: str | None = None
    ) -> list[int]:
        """The ids of all jobs of a queue, with a label, of a batch that have not ended."""
        return self.repository.open_ids(queue, label, batch)

    @overload
    def wait(self, ids: int, timeout: float | None = None) -> Status: ...

    @overload
    def wait(
        self, ids: Iterable[int], timeout: float | None = None, *, any: bool = False
    ) -> dict[int, Status]: ...

    def wait(
        self,
        ids: int | Iterable[int],
        timeout: float | None = None,
        *,
        any: bool = False,  # as the flag
    ) -> Status | dict[int, Status]:
        """How a job has ended, once it has; of several, how each has, once all have.

        With `any`, those that have ended, as soon as one has. Raises NotFound, and WaitedTooLong
        after `timeout` seconds.
        """
        from prokerja.waiting import ids_of, wait

        if hasattr(ids, "__iter__"):
            return wait(self.repository, ids_of(ids), timeout, any=any)
        [id] = ids_of((ids,))
        return wait(self.repository, (id,), timeout)[id]

    def wait_for_batch(self, batch: str, timeout: float | None = None) -> dict[str, int]:
        """How many of a batch have completed and failed, once none of it is open.

        Raises NotFound, and WaitedTooLong after `timeout` seconds.
        """
        from prokerja.waiting import wait_for_batch

        return wait_for_batch(self.repository, batch, timeout)
