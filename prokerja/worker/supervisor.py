"""The loop of a worker: settle what came back, claim what can be done, sleep until it matters.

Each turn is one short write transaction, and this process is the only one of the worker that
opens the database.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from typing import TYPE_CHECKING

from prokerja.catalog.refresh import record, record_classes
from prokerja.errors import Busy, Outdated, StoreError, TryAgain
from prokerja.events import (
    Event,
    FileBroken,
    QueueEmptied,
    StoreTroubled,
    WorkerStarted,
    WorkerStopping,
)
from prokerja.model import Returned
from prokerja.repository.sqlite.claims import TURNS
from prokerja.worker.backoff import PATIENCE, StoreBackoff
from prokerja.worker.duties.lookout import Lookout
from prokerja.worker.loop import EventLoop
from prokerja.worker.pool.pool import Pool
from prokerja.worker.pool.process import RealizerProcess
from prokerja.worker.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model import Claimed, Fate
    from prokerja.repository.sqlite.repository import Repository
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.output.pump import Pump
    from prokerja.worker.wire.messages import Report

LONGEST_SLEEP = 60.0
"""Seconds: the time of day may jump, so a due time is looked at again after this at most."""
LONGEST_PAUSE = 86400.0
"""Seconds: the system's own limit for a pause is some weeks."""
BRIEFLY = 0.002
"""Seconds that a turn waits for the write lock: as long as a declaration keeps it, and no more."""


class Supervisor:
    """One worker's run, from its registration to its leave."""

    def __init__(
        self,
        repository: Repository,
        orders: WorkerOptions,
        stops: StopRequests,
        pump: Pump,
        chores: Maintenance,
        tell: Callable[[Event], None],
    ) -> None:
        self._repository = repository
        self._orders = orders
        self._stops = stops
        self._pump = pump
        self._chores = chores
        self._tell = tell
        self._ears = EventLoop()
        self._crew = Pool(orders.realizers, self._hire, self._ears.drop_hand, tell, orders.grace)
        self._turns = itertools.count(1)
        self._left = orders.max_jobs
        self._names: set[str] = set()
        self._next_due: float | None = None
        self._grace_ends: float | None = None
        self._idle = False
        self._harvest = Totals(self._crew.names, tell)
        self._trouble = StoreBackoff(tell)

    def run(self) -> None:
        """Work until asked to stop, or until the orders are fulfilled, and the realizers left."""
        repository, orders = self._repository, self._orders
        repository.database.durable(False)
        self._id, self._lock = repository.workers.register(
            os.getpid(), time.time(), orders.realizers, orders.queues, (), orders.directories
        )
        self._lookout = Lookout(repository, self._id, self._stops, self._tell)
        # From here on, nobody's long write keeps this loop from its realizers.
        repository.database.patience = BRIEFLY
        self._chores.postpone(time.monotonic())
        self._ears.add(self._stops, self._stops.drain)
        self._ears.add_file(self._lookout)
        try:
            while not self._finished():
                self._step()
        finally:
            self._leave()

    def _step(self) -> None:
        now = time.monotonic()
        if self._lookout.watch.pace is not None:  # nothing tells us, so anything may have happened
            self._lookout.hear(now)
        self._heed_stops()
        self._crew.muster(now)
        self._crew.look(now)
        try:
            self._greet()
            self._lookout.look(now, full=not self._has_room)
            self._turn()
            pause = self._until_next()
            self._trouble.over()
        except Outdated as error:
            self._lookout.heed(error)
            pause = 0.0
        except TryAgain as error:
            if self._stops.at_once and not isinstance(error, Busy):
                raise  # nobody waits for room any longer; the next worker puts back what we hold
            pause = self._trouble.pause(error)
        self._ears.wait(pause, self._crew)

    @property
    def _has_room(self) -> bool:
        return self._crew.has_room and self._left != 0

    def _turn(self) -> None:
        """Settle, note what is running, and claim, in one transaction if there is a reason."""
        crew = self._crew
        crew.settle_loose()
        due = self._next_due is not None and self._next_due <= time.time()
        if crew.verdicts or crew.started or (self._has_room and (self._lookout.woken or due)):
            self._write()
            crew.deal()
        self._note_idleness()

    def _write(self) -> None:
        crew, claims, left = self._crew, self._repository.claims, self._left
        now = time.time()
        fates: list[Fate] = []
        # Others' writes wake us before they can be seen. Whoever has the write lock sees all
        # of them, so it is here that we look for work, and nowhere else.
        try:
            with self._repository.database.writing(draining=crew.stopping):
                for token, verdicts in crew.verdicts.items():
                    fates += claims.settle(token, verdicts, now, random.random)
                for job, since in crew.started:
                    claims.started(job.token, [(job.id, since)])
                self._next_due = self._claim(now) if self._has_room else None
        except StoreError:
            crew.undo()
            self._left = left
            self._lookout.woken = True
            raise
        self._lookout.wrote(time.monotonic(), full=not self._has_room)
        if self._left is not None:  # what came back does not count as done
            self._left += sum(type(v) is Returned for vs in crew.verdicts.values() for v in vs)
        self._harvest.bring_in(list(itertools.chain(*crew.verdicts.values())), fates, now)
        crew.verdicts.clear()
        crew.started.clear()

    def _claim(self, now: float) -> float | None:
        """Claim what is due, as far as there is room; returns when the next one is."""
        crew, lanes = self._crew, self._repository.lanes
        ranks = lanes.waiting(self._names, self._orders.queues, self._orders.directories)
        for waiting in itertools.chain(*ranks):
            crew.names[waiting.id] = waiting.lane.name
        token = self._id * TURNS + next(self._turns)
        enough = self._repository.claims.take(token, ranks, now, self._choose)
        next_due = lanes.next_due(itertools.chain(*ranks))
        if next_due is not None and next_due <= now and not enough:
            raise StoreError(
                f"{self._repository.path} is damaged: it queues jobs that are not there;"
                " restore a backup or try sqlite3's .recover"
            )
        return next_due

    def _choose(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """As many as the crew has room for and the orders allow."""
        if self._left is None:
            return self._crew.choose(offered)
        taken, full = self._crew.choose(itertools.islice(offered, self._left))
        self._left -= len(taken)
        return taken, full or self._left == 0

    def _note_idleness(self) -> None:
        crew = self._crew
        waits = self._next_due is None or self._next_due > time.time()
        free = crew.has_room and not (crew.busy or crew.verdicts or self._lookout.woken)
        was_idle, self._idle = self._idle, waits and free
        if not self._idle:
            self._chores.postpone(time.monotonic())
        elif not was_idle:
            self._tell(QueueEmptied())
        elif self._chores.due(time.monotonic()):
            self._chores.do(time.monotonic(), time.time())

    def _until_next(self) -> float | None:
        """Seconds for which nothing will happen by itself; None for ever."""
        if self._finished() or (self._fulfilled and not self._crew.stopping):
            return 0.0
        now = time.monotonic()
        moments = [self._crew.next_look(), self._lookout.next_look(), self._grace_ends]
        if self._idle:
            moments.append(self._chores.at)
        pauses = [moment - now for moment in moments if moment is not None]
        if self._next_due is not None and self._crew.has_room:
            pauses.append(min(self._next_due - time.time(), LONGEST_SLEEP))
        if self._lookout.watch.pace is not None:
            pauses.append(self._lookout.watch.pace)
        return max(0.0, min(LONGEST_PAUSE, *pauses)) if pauses else None

    def _finished(self) -> bool:
        crew = self._crew
        return crew.stopping and not (crew.hands or crew.busy or crew.verdicts)

    @property
    def _fulfilled(self) -> bool:
        """Whether the orders are, and nothing is left to be written down."""
        if self._crew.busy or self._crew.verdicts:
            return False
        return self._left == 0 or (self._orders.until_empty and self._idle)

    def _heed_stops(self) -> None:
        now, crew, stops = time.monotonic(), self._crew, self._stops
        if not crew.stopping and (stops.reason or self._fulfilled):
            if stops.reason:
                self._tell(WorkerStopping(stops.reason))
            crew.stop()
            self._grace_ends = now + self._orders.grace
        if stops.at_once:
            crew.kill()
        elif self._grace_ends is not None and now >= self._grace_ends:
            self._grace_ends = None
            crew.hurry()

    def _greet(self) -> None:
        """Take note of the jobs that a new realizer has loaded."""
        crew = self._crew
        self._names -= crew.missing
        while crew.greetings:
            report = crew.greetings[0]
            names = {spec.name for spec in report.specs}
            if names != self._names or not crew.greeted:
                self._repository.workers.learn(self._id, sorted(names))
                self._record(report)
                for broken in report.broken:
                    self._tell(FileBroken(broken.file, broken.error))
                started = (self._id, self._orders.realizers, self._orders.queues)
                self._tell(WorkerStarted(*started, tuple(sorted(names))))
            self._names = names
            crew.missing.clear()
            crew.greeted = True
            del crew.greetings[0]

    def _record(self, report: Report) -> None:
        repository, orders = self._repository, self._orders
        if orders.classes:
            record_classes(repository, orders.jobs, report.specs)
        else:
            record(repository, orders.jobs, report.stamps, report.specs)

    def _hire(self, ring: int) -> RealizerProcess:
        orders = self._orders
        hand = RealizerProcess(
            orders.jobs, orders.classes, self._lock, ring, self._pump.add, orders.environment()
        )
        try:
            self._ears.add_hand(hand, self._crew)
        except OSError:
            hand.kill()
            hand.bury()
            raise
        return hand

    def _leave(self) -> None:
        self._repository.database.patience = PATIENCE
        self._crew.stopping = True
        self._crew.kill()
        self._crew.settle_loose()
        try:
            self._write()
            self._repository.workers.leave(self._id, self._lock)
        except StoreError as error:  # the next worker finds our lock free, and puts all back
            self._tell(StoreTroubled(str(error)))
        self._ears.close()
        self._lookout.close()
        self._tell(self._harvest.summary())
