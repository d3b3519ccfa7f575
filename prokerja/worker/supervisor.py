"""The loop of a worker: settle what came back, claim what can be run, sleep until it matters.

Each turn is one short write transaction, and this process is the only one of the worker that
opens the database.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy, Outdated, StoreError, StoreGone, TryAgain
from prokerja.exit_codes import LATER
from prokerja.model.worker import SPARE_RINGS
from prokerja.worker.duties.all import Duties, Parts
from prokerja.worker.holds import Holds
from prokerja.worker.known_jobs import KnownJobs
from prokerja.worker.launching import Launcher
from prokerja.worker.loop import EventLoop
from prokerja.worker.own_code import OwnCode
from prokerja.worker.pool.pool import Pool
from prokerja.worker.refusals import Refusals
from prokerja.worker.turns import Turns
from prokerja.worker.unwritten import keep_unwritten
from prokerja.worker.wire import journal
from prokerja.worker_events import QueueEmptied, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.output.pump import Pump
    from prokerja.worker_events import Event

RECHECK_CLOCK_SECONDS = 60.0
"""The time of day may jump, so a due time is looked at again after this at most."""
MAX_SLEEP_SECONDS = 86400.0
"""The system's own limit is some weeks."""
TURN_PATIENCE_SECONDS = 0.002
"""For which a turn waits for the write lock: as long as a declaration keeps it, and no more."""
IDLE_PATIENCE_SECONDS = 0.02
"""The same while no realizer is at work, which would have to wait meanwhile."""
DAMAGED = "`prokerja doctor` tells more, `prokerja help moving` how to restore a backup"


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
        self._maintenance = maintenance
        self._tell = tell
        self._loop = EventLoop()
        self._launcher = launcher = Launcher(options, pump, self._loop)
        self._own_code = OwnCode(requests)
        self._pool = Pool(
            options.realizers, launcher.start, launcher.release, tell, options.grace,
            self._own_code.is_current,
        )  # fmt: skip
        launcher.pool = self._pool
        self._pool.memory_limit = options.service.memory_limit
        if options.tracing:
            from prokerja.worker.lost_attempts import LostAttempts

            self._pool.results.lost = LostAttempts(options.tracing).tell
        self._refusals = Refusals(tell)
        self._idle = False
        self._gone: StoreGone | None = None
        """What has become of the store, once it is no longer ours to use."""

    def run(self) -> None:
        """Work until asked to stop, or until the work is done, and the realizers have left."""
        self._join()
        try:
            while not self._finished():
                self._step()
        finally:
            self._leave()
        if self._gone is not None:
            raise self._gone

    def _step(self) -> None:
        now, busy = time.monotonic(), self._pool.busy
        self._repository.patience = TURN_PATIENCE_SECONDS if busy else IDLE_PATIENCE_SECONDS
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
            if self._is_given_up and not isinstance(error, Busy):
                raise
            pause = self._refusals.pause(error)
        except StoreError as error:
            self._stop_gone(error)
            pause = 0.0
        self._loop.wait(pause)

    def _join(self) -> None:
        repository, options, tell = self._repository, self._options, self._tell
        # Listeners hear of all that begins here.
        after = repository.event_position(None) if options.listens else None
        self._membership = repository.join(
            os.getpid(), time.time(), options.realizers, options.taking(), options.notify
        )
        self._launcher.lock, worker = self._membership.lock, self._membership.worker
        journal.reserve(self._launcher.lock, options.realizers + SPARE_RINGS + 1)
        self._watch = repository.watch(guarded=True)
        holds = Holds(tell)
        self._jobs = KnownJobs(repository, worker, options, self._pool, tell)
        self._turns = Turns(repository, worker, options, self._pool, self._jobs, holds, tell)
        self._duties = Duties(
            Parts(
                repository, worker, options, self._requests, self._pool, self._turns, holds,
                self._watch, self._loop, self._maintenance, after, self._is_done, tell,
                self._own_code,
            )
        )  # fmt: skip
        self._usual_patience = repository.patience
        self._loop.add(self._requests, self._requests.drain)
        writes = self._duties.writes
        self._loop.add_watched(self._watch, writes.hear, writes.interest)

    def _turn(self) -> None:
        """Settle, note what is running, and claim, in one transaction if there is a reason."""
        self._pool.reassign()
        if self._gone is not None:
            return
        self._jobs.learn()
        if self._turns.is_due():
            self._turns.write()
            self._pool.send()
        self._note_idleness()

    def _note_idleness(self) -> None:
        pool, maintenance, now = self._pool, self._maintenance, time.monotonic()
        waits = not self._turns.is_throttled and (
            self._turns.next_due is None or self._turns.next_due > time.time()
        )
        free = pool.has_room and not (
            pool.busy or pool.results.settlements or self._turns.writes.woken
        )
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
        moments = [duty.due for duty in self._duties]
        if self._gone is None:
            moments += [self._maintenance.due, self._pool.reported.due]
        pauses = [moment - now for moment in moments if moment is not None]
        if self._turns.next_due is not None and self._turns.has_room:
            pauses.append(min(self._turns.next_due - time.time(), RECHECK_CLOCK_SECONDS))
        if self._turns.deadline is not None:
            pauses.append(min(self._turns.deadline - time.time(), RECHECK_CLOCK_SECONDS))
        return max(0.0, min(MAX_SLEEP_SECONDS, *pauses))

    def _finished(self) -> bool:
        pool, left = self._pool, self._duties.are_left
        is_owing = pool.results.settlements and self._gone is None
        return pool.stopping and not (pool.processes or pool.busy or is_owing or left)

    @property
    def _is_given_up(self) -> bool:
        """Whether what came back is to wait for room in the store no longer."""
        is_over = self._duties.shutdown.is_over and not self._pool.processes
        return is_over or self._requests.forced

    def _is_done(self) -> bool:
        """Whether the work is, and nothing is left to be written down."""
        if self._pool.busy or self._pool.results.settlements:
            return False
        return self._turns.left == 0 or (self._options.until_empty and self._idle)

    def _stop_outdated(self, error: Outdated) -> None:
        """A newer program has come: stop in good order, and start nothing with its file."""
        self._duties.stop_writing()
        self._maintenance.stop()
        self._requests.request(error.what, LATER)

    def _stop_gone(self, error: StoreError) -> None:
        """The store cannot be used any more: write nothing, and let what runs end."""
        gone = error if isinstance(error, StoreGone) else StoreGone(str(error), DAMAGED)
        self._gone, self._turns.deadline = gone, None
        self._repository.abandon()
        self._duties.leave_store()
        self._requests.request(gone.what, gone.exit_code)

    def _leave(self) -> None:
        self._repository.patience = self._usual_patience
        self._pool.stopping = True
        self._pool.kill()
        self._pool.reassign()
        if self._gone is not None or not self._has_left():
            ring = self._options.realizers + SPARE_RINGS
            keep_unwritten(self._membership.lock, ring, self._pool.results.settlements, self._tell)
        self._duties.close(forced=self._requests.forced)
        self._launcher.close()
        self._loop.close()
        self._watch.close()
        self._tell(self._turns.totals.summary())

    def _has_left(self) -> bool:
        """Write the rest down, and leave the books; whether the store has taken that."""
        try:
            self._turns.write()
            self._repository.leave(self._membership, time.time())
        except StoreError as error:  # the next worker finds our lock free, and puts all back
            self._tell(StoreTroubled(str(error)))
            return False
        return True
