"""A supervisor's side of a realizer that runs several async jobs at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prokerja.worker.pool.durations import MIN_SECONDS
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.in_flight import LONG_JOB_SECONDS, MAX_LOAD_SECONDS, InFlight
from prokerja.worker.pool.process import REVOKE_SETTLES_SECONDS, RealizerProcess
from prokerja.worker.wire.messages import Batch
from prokerja.worker.wire.shared_page import JOURNALLING, LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prokerja.model.claim import Claimed
    from prokerja.worker.pool.exits import Cut, Exit
    from prokerja.worker.pool.process import Run


class WideInFlight(InFlight):
    """Any number of async jobs up to `width`, plain ones as usual, and short ones beyond that."""

    def __init__(self, width: int, is_async: Callable[[Claimed], bool]) -> None:
        super().__init__()
        self._width = width
        self._is_async = is_async

    @property
    def has_room(self) -> bool:
        """Whether another job may be added to the batch."""
        return self.load < MAX_LOAD_SECONDS or len(self.jobs) + len(self._batch) < self._width

    def assign(self, job: Claimed, cost: float) -> bool:
        """Add a job that takes `cost` seconds to the batch, unless it would wait for long."""
        is_async = self._is_async(job)
        if self.load > MAX_LOAD_SECONDS or cost > LONG_JOB_SECONDS:
            held = [*self.jobs.values(), *self._batch]
            if is_async and len(held) >= self._width:
                return False
            if not is_async and not all(map(self._is_async, held)):
                return False
        self._batch.append(job)
        self.load += max(cost / self._width, MIN_SECONDS) if is_async else cost
        return True


class WideProcess(RealizerProcess):
    """One of them. `is_async` tells of which jobs it runs up to `width` at once."""

    def __init__(
        self, width: int, is_async: Callable[[Claimed], bool], *given: Any, **options: Any
    ) -> None:
        super().__init__(*given, **options, concurrency=width)
        self._width = width
        self.in_flight = WideInFlight(width, is_async)
        self._seen_long: set[int] = set()
        self._kill_cut_at: dict[int, float] = {}
        """When to end all, if these jobs have not ended by then, that were asked to."""

    def running(self) -> list[Run]:
        """The jobs that it runs, by its own word: sequence number, job, and when it began."""
        slots = self.page.slots(self._width)
        found = {sequence: since for sequence, since in slots if sequence in self.jobs}
        sequence, since = self.page.running()
        if sequence in self.jobs:
            found.setdefault(sequence, since)
        return [(one, self.jobs[one], since / 1e9) for one, since in found.items()]

    def current(self) -> tuple[int, Claimed | None, float]:
        """The job that has the realizer to itself, if one has; see `RealizerProcess.current`."""
        running = self.running()
        if len(running) == 1 == len(self.jobs):
            sequence, job, since = running[0]
            return sequence, job, since + self.suspension.seconds(sequence)
        return self.last_begun(), None, 0.0

    def last_begun(self) -> int:
        """Sequence number of the last job that has begun, or was about to."""
        return max(self.page.running()[0], self.page.cells[LAST])

    def is_silent(self, now: float) -> bool:
        """Whether it has had jobs for a while, runs none, and does not say why."""
        return self._is_silent(now, bool(self.running()))

    def has_room(self) -> bool:
        """Whether it may be sent jobs at all, just now."""
        return self._is_open() and self.in_flight.has_room and not self._is_blocked()

    def newly_long(self) -> list[Run]:
        """The jobs that run, the first time they are seen to be long."""
        now = time.monotonic()
        new = [
            run for run in self.running()
            if run[0] not in self._seen_long and now - run[2] >= LONG_JOB_SECONDS
        ]  # fmt: skip
        self._seen_long = {one for one in self._seen_long if one in self.jobs}
        self._seen_long.update(sequence for sequence, _, _ in new)
        return new

    def request_report(self) -> None:
        """It reports by itself, unless a job holds it up."""
        if self._is_blocked():
            self._poke()

    def take_back(self) -> list[Claimed]:
        """What was revoked and is now certain not to be started: in flight no more."""
        if not self._revoked or time.monotonic() < self._settled_at:
            return []
        begun = self.last_begun()
        behind = [number for number in self._revoked if number > begun and number in self.jobs]
        return [job for job in self._remove(behind) if job is not None]

    def plan_check(self) -> None:
        """Decide when the page is worth a look again."""
        now = time.monotonic()
        if not self.ready:
            return
        if not self.jobs or self.suspension.is_on or self.kill_at is not None:
            self.check_at = self.kill_at
        else:
            moments = list(self._kill_cut_at.values())
            running = self.running()
            if self._revoked and len(self.jobs) > 1:
                moments.append(now + REVOKE_SETTLES_SECONDS)
            if len(running) < len(self.jobs):
                moments.append(now + LONG_JOB_SECONDS)
            for sequence, job, since in running:
                if sequence not in self._seen_long:
                    moments.append(min(since, now) + LONG_JOB_SECONDS + REVOKE_SETTLES_SECONDS)
                elif job.timeout is not None and sequence not in self.cuts:
                    moments.append(since + job.timeout)
            self.check_at = min(moments, default=None)

    def cut_short(self, cut: Cut, seconds: float) -> None:
        """Cancel an async job, which has so many seconds to end; a plain one ends with all."""
        if self.ending is not None:
            return
        slots = {sequence for sequence, _ in self.page.slots(self._width)}
        if cut.sequence not in slots:
            super().cut_short(cut, seconds)
            return
        self.cuts[cut.sequence] = cut
        self._kill_cut_at[cut.sequence] = time.monotonic() + seconds
        self.channel.post(Batch(0, {}, [], cut=[cut.sequence]))

    def end_cut(self, sequence: int) -> None:
        """A job has ended that was cut short; the others go on."""
        if self.ending is Ending.CUT_SHORT:
            super().end_cut(sequence)

    def check_cuts(self, now: float, seconds: float) -> None:
        """End all if a job does not heed that it was cut short."""
        if self.ending is None and any(at <= now for at in self._kill_cut_at.values()):
            self.end_for(Ending.CUT_SHORT)
            self.terminate(seconds)

    def blamed(self, exit: Exit) -> frozenset[int]:
        """After its death: the jobs that it ended of."""
        raise NotImplementedError

    def _is_blocked(self) -> bool:
        """Whether one job has had the interpreter for long, so that no other goes on."""
        sequence, since = self.page.running()
        return sequence > 0 and time.monotonic() - since / 1e9 > LONG_JOB_SECONDS

    def _remove(self, sequences: Sequence[int]) -> list[Claimed | None]:
        for sequence in sequences:
            self._kill_cut_at.pop(sequence, None)
        return super()._remove(sequences)
