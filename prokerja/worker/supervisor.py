"""The loop of a worker: settle what came back, claim what can be run, sleep until it matters.

Each turn is one short write transaction, and this process is the only one of the worker that
opens the database.
"""

from __future__ import annotations

import itertools
import os
import time
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING

from prokerja.catalog.files import has_listeners
from prokerja.catalog.refresh import record, record_classes
from prokerja.errors import Busy, Outdated, StoreError, TryAgain
from prokerja.hooks import ENDING
from prokerja.repository.verbs import Want
from prokerja.settings import UNREACHABLE
from prokerja.verdicts import Released
from prokerja.worker.duties.recovery import Recovery
from prokerja.worker.duties.requests import RequestCheck
from prokerja.worker.duties.shutdown import Shutdown
from prokerja.worker.duties.upgrade import UpgradeCheck
from prokerja.worker.duties.writes import Writes
from prokerja.worker.loop import EventLoop
from prokerja.worker.pool.pool import Pool
from prokerja.worker.pool.process import RealizerProcess
from prokerja.worker.refusals import Refusals
from prokerja.worker.totals import Totals
from prokerja.worker_events import Event, FileBroken, QueueEmptied, StoreTroubled, WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model.claim import Claimed
    from prokerja.repository.verbs import Repository
    from prokerja.worker.duties import Duty
    from prokerja.worker.duties.listeners import Listeners
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.output.pump import Pump
    from prokerja.worker.wire.messages import Loaded

RECHECK_CLOCK_SECONDS = 60.0
"""The time of day may jump, so a due time is looked at again after this at most."""
MAX_SLEEP_SECONDS = 86400.0
"""The system's own limit is some weeks."""
TURN_PATIENCE_SECONDS = 0.002
"""For which a turn waits for the write lock: as long as a declaration keeps it, and no more."""


class Supervisor:
    """One worker's run, from its registration to its leave."""

    def __init__(
        self,
        repository: Repository,
        options: WorkerOptions,
        requests: StopRequests,
        pump: Pump,
        maintenance: Maintenance,
        tell: Callable[[Event], None],
    ) -> None:
        self._repository = repository
        self._options = options
        self._requests = requests
        self._pump = pump
        self._maintenance = maintenance
        self._tell = tell
        self._loop = EventLoop()
        self._pool = Pool(options.realizers, self._start, self._release, tell, options.grace)
        if options.tracing:
            from prokerja.worker.lost_attempts import LostAttempts

            self._pool.results.lost = LostAttempts(options.tracing).tell
        self._totals = Totals(self._pool.results.job_names, tell)
        self._refusals = Refusals(tell)
        self._left = options.max_jobs
        """How many jobs may still be claimed; None for any number."""
        self._names: set[str] = set()
        """Of the jobs that realizers have loaded."""
        self._hooks: dict[str, list[str]] = {}
        """Of those that have any."""
        self._next_due: float | None = None
        """When the next job is due, in seconds since the epoch."""
        self._deadline: float | None = None
        """When the next job has to be resolved at the latest, in seconds since the epoch."""
        self._is_throttled = False
        """Whether jobs are due, and wait for their rate."""
        self._idle = False

    def run(self) -> None:
        """Work until asked to stop, or until the work is done, and the realizers have left."""
        self._join()
        try:
            while not self._finished():
                self._step()
        finally:
            self._leave()

    def _step(self) -> None:
        now = time.monotonic()
        try:
            for duty in self._duties:
                if duty.due is not None and duty.due <= now:
                    duty.run(now)
            self._turn()
            pause = self._pause()
            self._refusals.reset()
        except Outdated as error:
            self._stop_outdated(error)
            pause = 0.0
        except TryAgain as error:
            if self._requests.forced and not isinstance(error, Busy):
                raise  # waiting for room was ended by force; the next worker puts back what we hold
            pause = self._refusals.pause(error)
        self._loop.wait(pause)

    def _join(self) -> None:
        repository, options, tell = self._repository, self._options, self._tell
        self._listeners = self._listeners_of(options)  # they hear of all that begins here
        self._membership = repository.join(
            os.getpid(), time.time(), options.realizers, options.taking(), options.notify
        )
        self._watch = repository.watch()
        self._recovery = Recovery(
            repository, self._membership.worker, self._watch, tell, self._look_for_deadlines
        )
        self._upgrade = UpgradeCheck(repository, lambda: not self._has_room)
        requests = RequestCheck(
            repository, self._membership.worker, self._pool, self._hear_of_deadline
        )
        self._writes = Writes(self._watch, self._recovery, self._upgrade, requests, tell)
        shutdown = Shutdown(self._requests, self._pool, options.grace, self._is_done, tell)
        self._duties: tuple[Duty, ...] = (
            self._writes, shutdown, self._pool, requests, self._recovery, self._upgrade,
            *([self._listeners] if self._listeners else ()),
        )  # fmt: skip
        # From here on, no other process's long write keeps this loop from its realizers.
        self._usual_patience, repository.patience = repository.patience, TURN_PATIENCE_SECONDS
        self._loop.add(self._requests, self._requests.drain)
        self._loop.add_watched(self._watch, self._writes.hear, self._writes.interest)

    def _listeners_of(self, options: WorkerOptions) -> Listeners | None:
        if options.classes or options.db == UNREACHABLE or not has_listeners(options.jobs):
            return None
        from prokerja.worker.duties.listeners import Listeners

        after = self._repository.event_position(None)
        return Listeners(
            options.db, options.jobs, after, options.environment(), self._loop, self._tell
        )

    def _hear_of_deadline(self, moment: float | None) -> None:
        """Others may have declared what expires soon, though no realizer is free."""
        self._deadline = moment

    def _look_for_deadlines(self) -> None:
        """Those of a dead worker's jobs are nobody's but ours."""
        self._deadline = 0.0

    @property
    def _has_room(self) -> bool:
        return self._pool.has_room and self._left != 0

    def _turn(self) -> None:
        """Settle, note what is running, and claim, in one transaction if there is a reason."""
        pool, results = self._pool, self._pool.results
        self._learn()
        pool.reassign()
        due = self._next_due is not None and self._next_due <= time.time()
        late = self._deadline is not None and self._deadline <= time.time()
        if (
            results.settlements
            or results.started
            or late
            or (self._has_room and (self._writes.woken or due))
            or pool.reported.is_due(time.monotonic())
        ):
            self._write()
            pool.send()
        self._note_idleness()

    def _write(self) -> None:
        pool, results = self._pool, self._pool.results
        left, now = self._left, time.time()
        # Others' writes wake us before they can be seen. Whoever has the write lock sees all
        # of them, so it is here that we look for work, and nowhere else.
        try:
            turn = self._repository.turn(
                self._membership.worker, results.settlements, results.started,
                self._want() if self._has_room else None, now, leaving=pool.stopping,
                reported=pool.reported.reported,
            )  # fmt: skip
        except StoreError:
            pool.clear_batches()
            self._left = left
            self._writes.woken = True
            raise
        self._next_due, self._deadline = turn.next_due, turn.deadline
        self._is_throttled = turn.is_throttled
        results.job_names.update(turn.names)
        results.extras.update(turn.extras)
        self._writes.wrote(time.monotonic(), full=not self._has_room)
        settled = [*itertools.chain(*results.settlements.values())]
        if self._left is not None:  # what came back does not count as done
            self._left += sum(type(verdict) is Released for _, _, verdict in settled)
        self._totals.record(settled, turn.failed, now)
        results.clear_written()
        pool.forget_names(turn.names)
        pool.reported.written(turn.lost, time.monotonic())

    def _want(self) -> Want:
        taking, traced = self._options.taking(self._names), bool(self._options.tracing)
        return Want(taking, self._assign, self._pool.assign, frozenset(self._hooks), traced)

    def _assign(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """As many as the pool has room for and the options allow."""
        if self._left is None:
            return self._pool.assign(offered)
        taken, full = self._pool.assign(itertools.islice(offered, self._left))
        self._left -= len(taken)
        return taken, full or self._left == 0

    def _note_idleness(self) -> None:
        pool, maintenance, now = self._pool, self._maintenance, time.monotonic()
        waits = not self._is_throttled and (self._next_due is None or self._next_due > time.time())
        free = pool.has_room and not (pool.busy or pool.results.settlements or self._writes.woken)
        was_idle, self._idle = self._idle, waits and free
        maintenance.note(now, idle=self._idle)
        if self._idle and not was_idle:
            self._tell(QueueEmptied())
        elif maintenance.due <= now:
            maintenance.run()

    def _pause(self) -> float:
        """Seconds for which nothing will happen by itself."""
        if self._finished():
            return 0.0
        now = time.monotonic()
        moments = [self._maintenance.due, self._pool.reported.due]
        moments += [duty.due for duty in self._duties]
        pauses = [moment - now for moment in moments if moment is not None]
        if self._next_due is not None and self._pool.has_room:
            pauses.append(min(self._next_due - time.time(), RECHECK_CLOCK_SECONDS))
        if self._deadline is not None:
            pauses.append(min(self._deadline - time.time(), RECHECK_CLOCK_SECONDS))
        return max(0.0, min(MAX_SLEEP_SECONDS, *pauses))

    def _finished(self) -> bool:
        pool = self._pool
        return pool.stopping and not (pool.processes or pool.busy or pool.results.settlements)

    def _is_done(self) -> bool:
        """Whether the work is, and nothing is left to be written down."""
        if self._pool.busy or self._pool.results.settlements:
            return False
        return self._left == 0 or (self._options.until_empty and self._idle)

    def _stop_outdated(self, error: Outdated) -> None:
        """A newer program has come: stop in good order, and start nothing with its file."""
        self._recovery.stop()
        self._upgrade.stop()
        self._maintenance.stop()
        self._requests.request(error.what, outdated=True)

    def _learn(self) -> None:
        """Take note of the jobs that a new realizer has loaded."""
        pool = self._pool
        while pool.loaded:
            loaded = pool.loaded[0]
            names = {spec.name for spec in loaded.specs}
            if names != self._names or not pool.has_loaded:
                self._hooks = loaded.hooks
                self._repository.learn(self._membership.worker, sorted(names), self._told)
                self._record(loaded)
                for broken in loaded.broken:
                    self._tell(FileBroken(broken.file, broken.error))
                started = (self._membership.worker, self._options.realizers, self._options.queues)
                self._tell(WorkerStarted(*started, tuple(sorted(names))))
            elif pool.results.refused:  # it may have what the others lacked
                self._repository.learn(self._membership.worker, sorted(names), self._told)
            self._names = names
            pool.results.refused.clear()
            pool.has_loaded = True
            del pool.loaded[0]

    @property
    def _told(self) -> list[str]:
        """The jobs that have hooks that hear of an end."""
        return sorted(name for name, hooks in self._hooks.items() if set(ENDING) & set(hooks))

    def _record(self, loaded: Loaded) -> None:
        repository, options = self._repository, self._options
        if options.classes:
            record_classes(repository, options.jobs, loaded.specs)
        elif options.jobs:
            record(repository, options.jobs, loaded.stamps, loaded.specs)

    def _start(self, ring: int) -> RealizerProcess:
        options = self._options
        process = RealizerProcess(
            options.jobs, options.classes, self._membership.lock, ring,
            self._pump, options.environment(), options.tracing,
        )  # fmt: skip
        try:
            receive = partial(self._pool.receive, process)
            self._loop.add_watched(process.channel, receive, partial(_interest_in, process))
            self._loop.add(process.end, partial(self._pool.exited, process))
        except OSError:
            self._loop.remove(process.channel)
            process.kill()
            process.reap()
            raise
        return process

    def _release(self, process: RealizerProcess) -> None:
        self._loop.remove(process.channel)
        self._loop.remove(process.end)

    def _leave(self) -> None:
        self._repository.patience = self._usual_patience
        self._pool.stopping = True
        self._pool.kill()
        self._pool.reassign()
        try:
            self._write()
            self._repository.leave(self._membership, time.time())
        except StoreError as error:  # the next worker finds our lock free, and puts all back
            self._tell(StoreTroubled(str(error)))
        if self._listeners is not None:
            self._listeners.close(forced=self._requests.forced)
        self._loop.close()
        self._watch.close()
        self._tell(self._totals.summary())


def _interest_in(process: RealizerProcess) -> int:
    return EVENT_READ | (EVENT_WRITE if process.channel.outbox else 0)
