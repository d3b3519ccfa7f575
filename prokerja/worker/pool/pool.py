"""The realizers of one worker: kept complete, fed, watched and listened to."""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING

from prokerja.model.claim import Outgrown
from prokerja.verdicts import Released
from prokerja.worker.pool.complaints import Complaints
from prokerja.worker.pool.cuts import KILL_AFTER_TERM_SECONDS, Cuts
from prokerja.worker.pool.durations import SECONDS_PER_BYTE
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.exits import too_low
from prokerja.worker.pool.known_code import KnownCode
from prokerja.worker.pool.renewal import Renewal
from prokerja.worker.pool.reported import ReportedSoFar
from prokerja.worker.pool.results import Results
from prokerja.worker.pool.standstills import Standstills
from prokerja.worker.pool.starter import Starter
from prokerja.worker.wire.messages import Loaded, Report, WireError
from prokerja.worker_events import (
    HookFailed,
    JobDescribed,
    JobStarted,
    RealizerOutgrown,
    TracingFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prokerja.model.claim import Claimed
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker_events import Event

MAX_NAMES = 50_000
"""Lanes whose names are remembered, and those in hand."""
LOAD = attrgetter("in_flight.load")
STOPPED = "it was ended with its worker; its job goes back"


class Pool:
    """Sends jobs to realizers; what comes of them gathers in `results`.

    `start` starts a realizer, given the ring for its journal; `release` hears of its end; `tell`
    takes events; `grace` is how long one may take to leave, in seconds. `is_current` tells whether
    this package is still what this process has loaded; else no realizer would understand it.
    """

    def __init__(
        self,
        size: int,
        start: Callable[[int], RealizerProcess],
        release: Callable[[RealizerProcess], None],
        tell: Callable[[Event], None],
        grace: float,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._grace = grace
        self._release = release
        self._tell = tell
        self._is_current = is_current
        self._starter = Starter(start, tell)
        self._full = False
        """Whether the next job in the queue was found to be too much for any realizer."""
        self.processes: list[RealizerProcess] = []
        self.renewal = Renewal(size, self.processes, self._starter, grace)
        self.code = KnownCode(self.renewal)
        self.results = Results(tell)
        self.cuts = Cuts(self.processes, self.results, tell)
        self.standstills = Standstills(self.processes, self.results, tell)
        self.reported = ReportedSoFar()
        self.loaded: list[Loaded] = []
        """What realizers have loaded, until the supervisor has taken note."""
        self.has_loaded = False
        """Whether any realizer has loaded the jobs, and the supervisor knows."""
        self.stopping = False
        self.memory_limit: int | None = None
        """Of each realizer, in bytes; none of them may be larger before a job."""
        self.asynchronous: frozenset[str | None] = frozenset((None,))
        """The jobs of which realizers run several at once; None for those not known yet."""
        self._stamps: dict[str, str] = {}
        """Of the job files, as they were last loaded."""
        self._complaints = Complaints(tell)

    @property
    def busy(self) -> bool:
        """Whether anything claimed has not come back yet."""
        return bool(self.results.unassigned) or any(process.jobs for process in self.processes)

    @property
    def has_room(self) -> bool:
        """Whether there is a realizer that could take another job."""
        if self.stopping or self._full:
            return False
        return any(process.has_room() for process in self.processes)

    @property
    def due(self) -> float | None:
        """When `run` has something to do by itself, in monotonic seconds."""
        checks = [one.check_at for one in self.processes if one.check_at is not None]
        if not self.stopping and self.renewal.free_places > 0:
            checks.append(0.0 if self.renewal.waiting else self._starter.due)
        return min(checks, default=None)

    def run(self, now: float) -> None:
        """Start the realizers that are missing, enforce limits, let nothing wait behind a long job.

        Raises JobsNotLoaded if the first realizer cannot load the jobs.
        """
        self.renewal.take_places()
        while not self.stopping and now >= self._starter.due and self.renewal.free_places > 0:
            if not self._is_current():
                break
            process = self._starter.start(self.renewal.free_rings()[0])
            self.processes += [process] if process else []  # in place: others hold on to it
        for process in self.processes:
            if process.check_at is not None and now >= process.check_at:
                self._check(process, now)

    def assign(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """Put jobs into the realizers' next batches; returns them, and whether all are full."""
        may_take = self.code.may_take
        fitting = [one for one in self.processes if one.has_room() and may_take(one)]
        cost = self.results.durations.costs()
        taken: list[Claimed] = []
        self._full = not fitting
        is_limited = any(process.in_flight.most is not None for process in fitting)
        for job in offered if fitting else ():
            process = min(fitting, key=LOAD) if len(fitting) > 1 else fitting[0]
            seconds = cost[job.lane] + len(job.payload) * SECONDS_PER_BYTE
            if not process.in_flight.assign(job, seconds):
                self._full = True
                break
            taken.append(job)
            if is_limited and process.in_flight.is_exhausted:
                fitting.remove(process)
                if not fitting:
                    self._full = True
                    break
        is_full = self._full
        if is_full and self.code.pass_on():
            self._full = False
        return taken, is_full

    def send(self) -> None:
        """Send all that was assigned, now that its claims are written down."""
        was_idle = not self.busy
        for process in self.processes:
            process.send(self.results.job_names, self.results.extras)
        if was_idle and self.busy:
            os.sched_yield()  # a realizer that we have woken may wait for our processor

    def warm(self) -> None:
        """Have the realizer that would get the next job look into its inbox."""
        if fitting := [process for process in self.processes if process.has_room()]:
            min(fitting, key=LOAD).warm()

    def clear_batches(self) -> None:
        """Forget all that was assigned since its claims could not be written down."""
        for process in self.processes:
            process.in_flight.clear_batch()

    def forget_names(self, seen: Mapping[int, str]) -> None:
        """Once there are many, forget those of lanes that are neither seen nor in hand."""
        names = self.results.job_names
        if len(names) > MAX_NAMES:
            held = [*self.results.unassigned]
            for process in self.processes:
                held += process.jobs.values()
            kept = {job.lane: names[job.lane] for job in held if job.lane in names} | dict(seen)
            names.clear()  # others hold on to it
            names.update(kept)

    def accept(self, loaded: Loaded) -> None:
        """What there is to run from now on, for the supervisor to take note of."""
        self._stamps = loaded.stamps
        self.asynchronous = frozenset((None, *loaded.asynchronous))
        self.code.accept(loaded)
        self.loaded.append(loaded)

    def hurry(self) -> None:
        """Start at once what realizers are missing: what kept them from loading may be mended."""
        self._starter.due = 0.0

    def reassign(self) -> None:
        """Find another realizer for what was taken back, or release it."""
        results = self.results
        jobs, results.unassigned = results.unassigned, []
        for job in jobs:
            is_wanted = not (self.stopping or self.cuts.is_cancelled(job))
            fitting = [p for p in self.processes if p.has_room()] if is_wanted else []
            fitting = [p for p in fitting if results.name(job) not in p.lacks]
            cost = results.durations.costs()[job.lane]
            if not any(process.in_flight.assign(job, cost) for process in fitting):
                results.settle(job, Released(counted=False))
        self.send()  # their claims stand already

    def receive(self, process: RealizerProcess) -> bool:
        """Take in what a realizer tells; False when there is nothing, or never will be."""
        if process not in self.processes:
            return False  # it was found dead a moment ago
        process.channel.flush()
        try:
            reports = process.channel.receive()
            for report in reports or ():
                self._take_report(process, report)
        except WireError as error:
            ending = Ending.FAULTY if self._is_current() else Ending.STOPPED
            process.end_for(ending, f"it sent invalid data and was killed: {error}")
            process.kill()
            reports = None
        if reports is None:
            self._reap(process)
        return bool(reports)

    def exited(self, process: RealizerProcess) -> None:
        """A realizer's process has ended: take in its last reports, settle the rest."""
        while process in self.processes and self.receive(process):
            pass
        if process in self.processes:  # someone it has forked still holds the line
            self._reap(process)

    def stop(self) -> None:
        """Start nothing more: what has not begun comes back, what runs may finish."""
        self.stopping = True
        for process in self.processes:
            process.revoke()
            process.plan_check()
            if not process.ready:
                process.end_for(Ending.STOPPED)
                process.kill()
            elif process.suspension.is_on:  # it would not end by itself
                self._terminate(process)
            elif not process.jobs:
                process.close(self._grace)

    def terminate(self) -> None:
        """The time is up: ask what still runs to end."""
        for process in self.processes:
            self._terminate(process)

    def kill(self) -> None:
        """End everything at once."""
        for process in list(self.processes):
            process.end_for(Ending.STOPPED, STOPPED)
            process.kill()
            self._reap(process)

    def _terminate(self, process: RealizerProcess) -> None:
        process.end_for(Ending.STOPPED, STOPPED)
        process.terminate(KILL_AFTER_TERM_SECONDS)
        process.plan_check()

    def is_async(self, job: Claimed) -> bool:
        """Whether realizers run several such at once."""
        return self.results.job_names.get(job.lane) in self.asynchronous

    def _check(self, process: RealizerProcess, now: float) -> None:
        long = process.newly_long()
        for _, job, since in long:
            self.results.take_started(job, since)
            if not self.results.has_ended(job):
                self._tell(JobStarted(job.id, self.results.name(job), job.attempt))
        if long:
            process.show_title(long[-1], self.results.name(long[-1][1]))
        if process.is_to_revoke(long):
            process.revoke()
        process.request_report()
        self.results.unassigned += process.take_back()
        self.cuts.end_where_due(process, now)
        self.standstills.check(process)
        process.plan_check()

    def _take_report(self, process: RealizerProcess, report: Report) -> None:
        self._look_again()
        process.silent_since = None
        if report.loading and not process.ready:
            process.loading = report.loading
            return
        if report.loaded is not None:
            self._take_loaded(process, report.loaded)
        if report.ended:
            # Whoever sees that a job has ended can read all it has printed.
            process.drain_output(sequence for sequence, _ in report.ended)
        self.reported.take(process, report)
        self._take_descriptions(process, report)
        self.renewal.take_files(process, report.files)
        for told in report.hook_errors:
            self._tell(HookFailed(*told))
        for error in report.tracing_errors:
            self._tell(TracingFailed(error))
        self.results.take_ended(process, report.ended)
        self._complaints.take(process, report)
        if report.outgrown is not None:
            self._outgrow(process, *report.outgrown)
        if report.unfit or report.unknown:
            process.outdated = process.outdated or process.stamps != self._stamps
        self.results.take_refused(process, report)
        is_used_up = process.in_flight.is_exhausted or process.spoiled or process.outdated
        is_leaving = self.stopping or is_used_up
        if is_leaving and not process.jobs:
            process.close(self._grace)
        self.standstills.check(process)
        process.plan_check()

    def _take_descriptions(self, process: RealizerProcess, report: Report) -> None:
        for sequence, text in report.descriptions:
            if (job := process.jobs.get(sequence)) is not None:
                self._tell(JobDescribed(job.id, self.results.name(job), text))

    def _take_loaded(self, process: RealizerProcess, loaded: Loaded) -> None:
        if process.ready:
            raise WireError("it has loaded the jobs before")
        if not self._is_current():
            return  # it may be of another version, and goes with the worker
        if self.memory_limit and loaded.bytes > self.memory_limit and not self.has_loaded:
            raise too_low(self.memory_limit, loaded.bytes)
        self._starter.succeeded()
        process.ready = True
        process.pid = loaded.pid
        process.loaded = loaded
        process.stamps = loaded.stamps
        self.renewal.changed = True
        if not process.spare and self.code.is_whole(process, loaded):
            self.accept(loaded)

    def _look_again(self) -> None:
        """A realizer may have room again."""
        self._full = False
        self.code.look_again()

    def _outgrow(self, process: RealizerProcess, name: str, size: int) -> None:
        """A realizer has become too large for another job."""
        if process.spoiled or self.memory_limit is None:
            raise WireError("it has no limit to be beyond")
        process.spoiled = True
        outgrown = Outgrown(process.pid, name, size, self.memory_limit)
        self.reported.outgrown(outgrown)
        self._tell(RealizerOutgrown(*outgrown))

    def _reap(self, process: RealizerProcess) -> None:
        """Settle what a dead realizer had in flight."""
        self._look_again()
        self.processes.remove(process)
        self._release(process)
        self.reported.forget(process)
        exit = process.reap()
        job = process.jobs.get(exit.running)
        if job is not None and exit.cost and not (process.ending and process.ending.is_orderly):
            self.reported.spent(job, exit.cost)
        process.end_output()
        self.renewal.forget(process, exit.how)
        if process.spare:
            return
        if not process.ready:
            is_first = not (self.has_loaded or self.stopping) and self._is_current()
            self._starter.failed(exit.how, first=is_first)
        elif process.ending is None and not self._is_current():
            process.end_for(Ending.STOPPED, exit.how)  # it may be the fault of the other version
        self.results.take_exit(process, exit)
        if (loaded := self.code.promote()) is not None:
            self.accept(loaded)
