"""A supervisor's side of a realizer that runs several async jobs at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prokerja.worker.pool.durations import MIN_SECONDS
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.in_flight import LONG_JOB_SECONDS, MAX_LOAD_SECONDS, InFlight
from prokerja.worker.pool.process import REVOKE_SETTLES_SECONDS, RealizerProcess
from prokerja.worker.wire.messages import Batch
from prokerja.worker.wire.shared_page import LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from prokerja.model.claim import Claimed, Extra
    from prokerja.worker.pool.exits import Cut, Exit
    from prokerja.worker.pool.process import Run
    from prokerja.worker.service import Service
    from prokerja.worker.wire.journal import Claim


BLOCKED_SECONDS = 0.5
"""For which a job may keep the interpreter after it was cut short."""


class WideInFlight(InFlight):
    """Async jobs up to `width`, one plain one that is not known to be short, and short ones."""

    def __init__(
        self, width: int, is_async: Callable[[Claimed], bool], most: int | None = None
    ) -> None:
        super().__init__(most)
        self._width = width
        self._is_async = is_async

    @property
    def has_room(self) -> bool:
        """Whether another job may be added to the batch."""
        return self.load < MAX_LOAD_SECONDS or len(self.jobs) + len(self._batch) < self._width

    def assign(self, job: Claimed, cost: float) -> bool:
        """Add a job that takes `cost` seconds to the batch, unless it would wait for long."""
        is_async = self._is_async(job)
        is_too_much = self.load > MAX_LOAD_SECONDS or cost > LONG_JOB_SECONDS
        if is_too_much and not self._is_next(is_async=is_async):
            return False
        self._batch.append(job)
        self.load += max(cost / self._width, MIN_SECONDS) if is_async else cost
        return True

    def _is_next(self, *, is_async: bool) -> bool:
        """Whether another such job would begin at once, as far as we know."""
        if is_async:
            return len(self.jobs) + len(self._batch) < self._width
        return all(map(self._is_async, [*self.jobs.values(), *self._batch]))


class WideProcess(RealizerProcess):
    """One of them. `is_async` tells of which jobs it runs several at once."""

    def __init__(self, is_async: Callable[[Claimed], bool], *given: Any, service: Service) -> None:
        super().__init__(*given, service=service)
        self._width = width = service.concurrency
        self.in_flight = WideInFlight(width, is_async, service.realizer_jobs)
        self._seen_long: set[int] = set()
        self._give_up_at: dict[int, float] = {}
        """When to end all, if these jobs have not ended by then, which were cut short."""
        self._blocking: dict[int, tuple[tuple[int, int], float]] = {}
        """Those that had the interpreter then: their step, and when to end all if it still goes on.
        """
        self._refused: set[Claim] = set()
        """What it was said of that it cannot be suspended."""
        self._at_death: dict[int, float] = {}
        """What it was running when it died, and when that had begun."""
        self._blamed: set[int] = set()
        """Those of them that it may have died of."""

    def running(self) -> Sequence[Run]:
        """The jobs that it runs, by its own word."""
        return [
            (sequence, self.jobs[sequence], since + self.suspension.seconds(sequence))
            for sequence, since in self._begun().items()
            if sequence in self.jobs
        ]

    def current(self) -> tuple[int, Claimed | None, float]:
        """The job that has the realizer to itself, if one has; else the last that has begun."""
        running = self.running()
        if len(running) == 1 == len(self.jobs):
            return running[0]
        return self._last_begun(), None, 0.0

    def is_alone(self, sequence: int) -> bool:
        """Whether this job, which it runs, may be ended: of the others, none is to blame."""
        return True

    def is_held_up(self) -> bool:
        """Whether one job has had the interpreter for long, so that no other goes on."""
        sequence, since = self.page.running()
        return sequence > 0 and time.monotonic() - since / 1e9 > LONG_JOB_SECONDS

    def newly_long(self) -> Sequence[Run]:
        """The jobs that it runs, the first time they are seen to be long."""
        before, latest = self._seen_long, time.monotonic() - LONG_JOB_SECONDS
        long = [run for run in self.running() if run[2] <= latest]
        self._seen_long = {sequence for sequence, _, _ in long}
        return [run for run in long if run[0] not in before]

    def is_to_revoke(self, long: Sequence[Run]) -> bool:
        """Whether what waits there is to be taken back: no other could begin for a while."""
        return len(self._seen_long) >= self._width or self.is_held_up()

    def send(self, names: Mapping[int, str], extras: Mapping[Claim, Extra]) -> None:
        """Send the batch, with the jobs' names by lane, and what else they are given by claim."""
        for batch in self.in_flight.take_batches(names, extras):
            self.channel.post(batch)
            soon = time.monotonic() + LONG_JOB_SECONDS + REVOKE_SETTLES_SECONDS
            self.check_at = soon if self.check_at is None else min(self.check_at, soon)

    def request_report(self) -> None:
        """It reports by itself, unless a job holds it up."""
        if self.is_held_up():
            self._poke()

    def take_back(self) -> list[Claimed]:
        """What was revoked and is now certain not to be started: in flight no more."""
        if not self._revoked or time.monotonic() < self._settled_at:
            return []
        begun = self._last_begun()
        behind = [number for number in self._revoked if number > begun and number in self.jobs]
        return [job for job in self._remove(behind) if job is not None]

    def plan_check(self) -> None:
        """Decide when the page is worth a look again; not after each report, as it is long."""
        now = time.monotonic()
        if not self.ready:
            return
        if not self.jobs or self.suspension.is_on or self.kill_at is not None:
            self.check_at = self.kill_at
        elif self._revoked and len(self.jobs) > 1:
            self.check_at = now + REVOKE_SETTLES_SECONDS
        elif self.check_at is None or self.check_at <= now:
            self.check_at = min(self._moments(now), default=None)

    def cut_short(self, cut: Cut, seconds: float) -> None:
        """End a running job: of its own, if it is async; else with this realizer."""
        if cut.sequence not in dict(self.page.slots(self._width)):
            super().cut_short(cut, seconds)
        elif self.ending is None:
            self.cuts[cut.sequence] = cut
            now, step = time.monotonic(), self.page.running()
            self._give_up_at[cut.sequence] = now + seconds
            if step[0] == cut.sequence:
                self._blocking[cut.sequence] = step, now + BLOCKED_SECONDS
            self.channel.post(Batch(0, {}, [], cut=[cut.sequence]))

    def end_cut(self) -> None:
        """A job has ended that was cut short: the others go on, unless that took all down."""
        if self.ending is Ending.CUT_SHORT:
            super().end_cut()

    def give_up(self, now: float, seconds: float) -> bool:
        """End all, if a job does not heed that it was cut short."""
        is_blocked = any(
            at <= now and step == self.page.running() for step, at in self._blocking.values()
        )
        if self.ending is not None or not (
            is_blocked or any(at <= now for at in self._give_up_at.values())
        ):
            return False
        self.end_for(Ending.CUT_SHORT)
        self.terminate(seconds)
        return True

    def refuse_suspension(self, claims: Collection[Claim]) -> Sequence[Claimed]:
        """Those of its jobs that are to stand still and cannot, as others run beside them."""
        running = [job for _, job, _ in self.running()] if len(self.jobs) > 1 else []
        found = {(job.token, job.id): job for job in running if (job.token, job.id) in claims}
        new = [job for claim, job in found.items() if claim not in self._refused]
        self._refused = set(found)
        return new

    def reap(self) -> Exit:
        """After its death: end what it has left, and tell how it ended."""
        self._at_death = {one: began for one, began in self._begun().items() if one in self.jobs}
        holder, begun = self.page.running()[0], self._last_begun()
        self._blamed = {holder} & self._at_death.keys() or set(self._at_death)
        exit = super().reap()
        running = next(iter(self._blamed), 0)
        return exit._replace(running=running, last_begun=begun, cost=None)

    def exit_for(self, sequence: int, exit: Exit) -> Exit:
        """After its death: what that means for one of its jobs."""
        began = self._at_death.get(sequence, exit.began)
        own = exit._replace(running=sequence, began=began)
        if (cut := self.cuts.get(sequence)) is not None:
            return own._replace(how=cut.error, advice=cut.advice, kind=cut.kind, excused=False)
        if sequence not in self._at_death:
            # Not begun, or ended in the moment before that was written to its journal.
            begun = exit.last_begun
            return exit._replace(running=begun if sequence > begun else 0)
        if exit.excused or self.ending is Ending.CUT_SHORT or sequence not in self._blamed:
            return own._replace(excused=True, kind="interrupted")
        return own

    def _begun(self) -> dict[int, float]:
        """What runs there by its own word: sequence numbers, and when they have begun."""
        found = {sequence: since / 1e9 for sequence, since in self.page.slots(self._width)}
        sequence, since = self.page.running()
        if sequence > 0:
            found.setdefault(sequence, since / 1e9)
        return found

    def _last_begun(self) -> int:
        return max(self.page.running()[0], self.page.cells[LAST])

    def _moments(self, now: float) -> list[float]:
        """When something may have to be done for one of its jobs."""
        moments = [*self._give_up_at.values()]
        moments += [at for _, at in self._blocking.values() if at > now]
        running = self.running()
        if len(running) < len(self.jobs):
            moments.append(now + LONG_JOB_SECONDS)
        for sequence, job, since in running:
            if sequence not in self._seen_long:
                moments.append(min(since, now) + LONG_JOB_SECONDS + REVOKE_SETTLES_SECONDS)
            elif job.timeout is not None and sequence not in self.cuts:
                moments.append(since + job.timeout)
        return moments

    def _remove(self, sequences: Sequence[int]) -> list[Claimed | None]:
        for sequence in sequences:
            self._give_up_at.pop(sequence, None)
            self._blocking.pop(sequence, None)
        return super()._remove(sequences)
