"""The jobs that one realizer has been sent, and those of its next batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker.pool.batches import split
from prokerja.worker.pool.durations import SECONDS_PER_BYTE
from prokerja.worker.wire.messages import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prokerja.model.claim import Claimed, Extra
    from prokerja.worker.wire.journal import Claim

LONG_JOB_SECONDS = 0.02
"""A job that runs longer is long, and nothing may wait behind it."""
MAX_LOAD_SECONDS = 0.025
"""Of work in flight: some 20 ms ahead of the running job."""
MAX_SEQUENCE = 2**31 - 2**20
"""Sequence numbers end here: two of them share a cell of the shared page."""


class InFlight:
    """Jobs by sequence number, in order, and how much work they are as far as we know."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        """How many jobs it may be sent in all; None for any number."""
        self.jobs: dict[int, Claimed] = {}
        self.load = 0.0
        """In seconds."""
        self._batch: list[Claimed] = []
        self._next = 1

    @property
    def is_exhausted(self) -> bool:
        """Whether it is to be replaced: it may be sent no more, or numbers run out."""
        if self.most is not None and self._next + len(self._batch) > self.most:
            return True
        return self._next > MAX_SEQUENCE

    @property
    def has_room(self) -> bool:
        """Whether another job may be added to the batch."""
        return self.load < MAX_LOAD_SECONDS or not (self.jobs or self._batch)

    def assign(self, job: Claimed, cost: float) -> bool:
        """Add a job that takes `cost` seconds to the batch, unless it would wait for long."""
        too_much = self.load > MAX_LOAD_SECONDS or cost > LONG_JOB_SECONDS
        if too_much and (self.jobs or self._batch):
            return False
        self._batch.append(job)
        self.load += cost
        return True

    def take_batches(
        self, names: Mapping[int, str], extras: Mapping[Claim, Extra]
    ) -> Sequence[Batch]:
        """What is to be sent now, if anything.

        `names` are those of jobs by lane, `extras` what else some of them are given.
        """
        batch, self._batch = self._batch, []
        if not batch:
            return ()
        first = self._next
        self._next += len(batch)
        self.jobs.update(enumerate(batch, first))
        jobs = [((job.token, job.id), job.attempt, job.lane, job.payload) for job in batch]
        whole = Batch(first, {job.lane: names[job.lane] for job in batch}, jobs)
        if not extras:
            return (whole,)
        batches, given = split(whole, extras)
        self.load += given * SECONDS_PER_BYTE
        return batches

    def clear_batch(self) -> None:
        """Forget what was assigned and not taken."""
        before = len(self.jobs) + len(self._batch)
        self._batch = []
        self._weigh(before)

    def finish(self, sequences: Iterable[int]) -> list[Claimed | None]:
        """The jobs of these numbers, in flight no more; None for one that was not (any more)."""
        before = len(self.jobs)
        jobs = [self.jobs.pop(sequence, None) for sequence in sequences]
        self._weigh(before)
        return jobs

    def behind(self, sequence: int) -> Sequence[int]:
        """The numbers of the jobs that come after this one."""
        return [number for number in self.jobs if number > sequence]

    def _weigh(self, before: int) -> None:
        """Take off the load what has gone; `before` is how many jobs there were."""
        if not self.jobs:
            self.load = 0.0
        elif before:
            self.load *= len(self.jobs) / before
