"""The write transactions of a worker: what goes into each, and what comes of it."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from prokerja.errors import StoreError
from prokerja.repository.verbs import Want
from prokerja.verdicts import Released
from prokerja.worker.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model.claim import Claimed
    from prokerja.repository.verbs import Assign, Repository
    from prokerja.worker.duties.preflight import Preflight
    from prokerja.worker.duties.writes import Writes
    from prokerja.worker.holds import Holds
    from prokerja.worker.known_jobs import KnownJobs
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker_events import Event


class Turns:
    """Each settles, notes what is running, and claims, in one transaction."""

    writes: Writes
    """What hears of others' writes; given afterwards, since it has to know of what it stirs."""

    def __init__(
        self,
        repository: Repository,
        worker: int,
        options: WorkerOptions,
        pool: Pool,
        jobs: KnownJobs,
        holds: Holds,
        tell: Callable[[Event], None],
    ) -> None:
        self._repository = repository
        self._worker = worker
        self._options = options
        self._pool = pool
        self._jobs = jobs
        self._holds = holds
        self.totals = Totals(pool.results.job_names, tell)
        self.left = options.max_jobs
        """How many jobs may still be claimed; None for any number."""
        self.next_due: float | None = None
        """When the next job is due, in seconds since the epoch."""
        self.deadline: float | None = None
        """When the next job has to be resolved at the latest, in seconds since the epoch."""
        self.is_throttled = False
        """Whether jobs are due, and wait for their rate, or for memory."""
        self.preflight: Preflight | None = None
        """What looks whether there is memory for them; None if nobody has asked for that."""
        self.has_claimed = False
        """Whether a turn that could claim has gone well."""

    @property
    def has_room(self) -> bool:
        """Whether a job could be claimed."""
        return self._pool.has_room and self.left != 0 and not self._holds.is_holding

    @property
    def is_to_claim(self) -> bool:
        """Whether there is room for jobs, and there may be some."""
        due = self.next_due is not None and self.next_due <= time.time()
        return self.has_room and (self.writes.woken or due)

    def look_anew(self) -> None:
        """Take a turn: no moment of which the store has told need be right."""
        self.writes.woken, self.deadline = True, 0.0

    def is_due(self) -> bool:
        """Whether there is a reason for a turn."""
        pool, results = self._pool, self._pool.results
        late = self.deadline is not None and self.deadline <= time.time()
        return bool(
            results.settlements
            or results.started
            or late
            or self.is_to_claim
            or pool.reported.is_due(time.monotonic())
        )

    def write(self) -> None:
        """Take a turn; raises StoreError, and nothing was claimed then."""
        pool, results = self._pool, self._pool.results
        left, now = self.left, time.time()
        want = self._want() if self.has_room else None
        # Others' writes wake us before they can be seen. Whoever has the write lock sees all
        # of them, so it is here that we look for work, and nowhere else.
        try:
            turn = self._repository.turn(
                self._worker, results.settlements, results.started, want, now,
                leaving=pool.stopping, reported=pool.reported.reported,
            )  # fmt: skip
        except StoreError:
            pool.clear_batches()
            self.left = left
            self.writes.woken = True
            raise
        self.next_due, self.deadline = turn.next_due, turn.deadline
        self.is_throttled = turn.is_throttled
        self.has_claimed = self.has_claimed or want is not None
        results.job_names.update(turn.names)
        results.extras.update(turn.extras)
        self.writes.wrote(time.monotonic(), full=not self.has_room)
        settled = [*itertools.chain(*results.settlements.values())]
        if self.left is not None:  # what came back does not count as done
            self.left += sum(type(verdict) is Released for _, _, verdict in settled)
        self.totals.began(results.started)
        self.totals.record(settled, turn.failed, now)
        if self.preflight is not None and want is not None:
            self.preflight.ended(time.monotonic())
            self.is_throttled |= self.preflight.is_waiting
        results.clear_written()
        pool.forget_names(turn.names)
        pool.reported.written(turn.lost, time.monotonic())

    def _want(self) -> Want:
        lacking, traced = self._pool.code.choose(self._pool.processes), bool(self._options.tracing)
        names = self._jobs.names - lacking
        assign: Assign = self._assign
        if self.preflight is not None:
            names, assign = names - self.preflight.avoided, self.preflight.guard(assign)
        hooked, taking = frozenset(self._jobs.hooks), self._options.taking(names)
        return Want(taking, assign, self._pool.assign, hooked, traced)

    def _assign(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """As many as the pool has room for and the options allow."""
        if self.left is None:
            return self._pool.assign(offered)
        taken, full = self._pool.assign(itertools.islice(offered, self.left))
        self.left -= len(taken)
        return taken, full or self.left == 0
