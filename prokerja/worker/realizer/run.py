"""Runs jobs, in the child process that the user's code has to itself."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec.json import decode

from prokerja import running
from prokerja.job import FOLLOW_UPS
from prokerja.model.cost import COUNTED_SECONDS
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.verdicts import Completed, Ended, Failed
from prokerja.worker.realizer.coroutines import Coroutines, is_async
from prokerja.worker.realizer.costs import Costs
from prokerja.worker.realizer.interruption import Interrupted, Interruption
from prokerja.worker.realizer.leftovers import counted, leave_without_threads
from prokerja.worker.realizer.misfit import refusal
from prokerja.worker.realizer.outbox import Outbox
from prokerja.worker.realizer.outcome import (
    cut_result,
    encode_result,
    unfinished,
)
from prokerja.worker.realizer.performing import Performer, names_of_hooks
from prokerja.worker.realizer.process_state import ProcessState
from prokerja.worker.realizer.progress import ProgressReports
from prokerja.worker.realizer.running_job import RunningJob
from prokerja.worker.realizer.steps import Steps
from prokerja.worker.wire.shared_page import (
    IDLE,
    JOURNALLING,
    LAST,
    REVOKED,
    RUNNING,
    SINCE,
    revoked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.model.claim import Extra
    from prokerja.model.declaration import Declaration
    from prokerja.spec import JobSpec
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.realizer.loaded_files import LoadedFiles
    from prokerja.worker.realizer.outcome import FollowUp
    from prokerja.worker.realizer.titles import Titles
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.journal import Journal
    from prokerja.worker.wire.messages import Batch
    from prokerja.worker.wire.shared_page import SharedPage

REPORT_AFTER_NS, REPORT_AFTER_JOBS = 12_000_000, 500
"""After which results are reported, even if there is more to do."""
JOURNAL_AFTER_NS = 10_000
"""Between two entries, at least: what takes longer by itself is written down at once."""
COUNTED_NS = int(COUNTED_SECONDS * 1e9)
LONG_JOB_NS = 5_000_000
"""Of a job after which it is looked at what it has changed in this process."""
QUICK_JOB_NS = 200_000
"""A job slower than this may start processes, so it is announced beforehand."""
MAX_REQUESTS_BYTES = 2**12
LARGE_BYTES = 2**16
"""A result, or follow-ups, of more than this are reported by themselves: frames stay small."""


class Realizer:
    """Runs jobs one after the other, in the order in which they come."""

    _interruption_kind: type[Interruption] = Interruption
    _running_kind: type[running.Running] = running.Running
    _job_kind: type[RunningJob] = RunningJob
    _steps_kind: type[Steps] = Steps

    def __init__(
        self,
        page: SharedPage,
        channel: Channel[Batch],
        journal: Journal,
        classes: Mapping[str, Callable[..., Any]],
        specs: Mapping[str, JobSpec],
        output: OutputCapture,
        follow_ups: Callable[[list[FollowUp]], tuple[Declaration, ...]],
    ) -> None:
        """`follow_ups` makes declarations of what a job has declared."""
        self._channel = channel
        self._page = page
        self._output = output
        self._classes = classes
        self._specs = specs
        self._follow_ups = follow_ups
        self._journal = journal
        self._outbox = outbox = Outbox(channel)
        self._interruption = self._interruption_kind(self._page, self._flush)
        self._running = running.current = self._running_kind()
        self._costs = Costs(page, self._running)
        job = self._job_kind(self._running, self._page)
        self._steps = self._steps_kind(job, self._page, outbox.send_step)
        outbox.progress = ProgressReports(job, outbox.send_reportable)
        self._running.steps, self._running.progress = self._steps, outbox.progress
        self._performer = Performer(
            names_of_hooks(classes), self._running, self._page, outbox, journal, self._interruption
        )
        self._perform = self._performer.perform
        has_async = any(map(is_async, classes.values()))
        self._coroutines = Coroutines(self._tell_tasks) if has_async else None
        self._encode: Callable[[Any], str | None] = encode_result
        if self._coroutines is not None:
            self._encode = self._coroutines.encode
        self._extras: dict[int, Extra] = {}
        """What some jobs are given beside their payloads, by sequence number."""
        self._jobs: deque[tuple[int, tuple[int, int], int, str, str]] = deque()
        """Sequence number, the claim's token with the declaration's id, attempt, name, payload."""
        self._slow: set[str] = set(self._classes)
        self._poll = select.poll()
        self._epoch = 0.0
        self._name = ""
        """Of the last job that was run."""
        self.titles: Titles | None = None
        """What shows in its title which long job it runs, if it has one."""
        self._spoiled = False
        """Whether it was changed for good, so that it has to be replaced."""
        self.files: LoadedFiles | None = None
        """Knows which files have been loaded, if anybody wants to hear of it."""

    def run(self, requests: int) -> None:
        """Work until the supervisor hangs up; what comes in `requests` asks for a report."""
        self._prepare(requests)
        while self._read(wait=not self._jobs):
            if self._jobs or self._spoiled:  # or it was only to be kept warm
                self._run_jobs()
        self._finish()

    def _prepare(self, requests: int) -> None:
        self._poll.register(self._channel.socket, select.POLLIN)
        threading.Thread(target=self._report_on_request, args=(requests,), daemon=True).start()
        self._interruption.install()
        self._state = ProcessState()

    def _run_jobs(self) -> None:
        """Run what there is for a while, and tell what came of it."""
        # Monotonic time orders what happens here; this turns it into the time of day.
        began = time.time()
        self._epoch = began - time.monotonic()
        try:
            self._work()
        except Interrupted:  # a moment before or after the job itself
            self._interruption.die()
        self._outbox.send()
        self._restore(self._name)
        self._note_files(began)
        self._outbox.send()

    def _note_files(self, since: float) -> None:
        """Have those told of that have been loaded since then."""
        if self.files is not None and (new := self.files.new(since)):
            self._outbox.report.files.update(new)

    def _finish(self) -> None:
        self._flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._channel.socket.detach()  # closed by this process's end, and not before
        if self._state.leftovers.has_threads:
            leave_without_threads()

    def _flush(self) -> None:
        """Before the process ends: nothing is to be lost with it."""
        self._output.flush()

    def _read(self, *, wait: bool) -> bool:
        while wait or self._poll.poll(0):
            batches = self._channel.receive()
            if batches is None:
                return False
            for batch in batches:
                for sequence, (claim, attempt, lane, payload) in enumerate(batch.jobs, batch.first):
                    self._jobs.append((sequence, claim, attempt, batch.names[lane], payload))
                self._extras.update(batch.given())
                wait = False
        if self._spoiled:
            self._drop_all()
        return True

    def _more(self) -> bool:
        """Whether there are jobs again in the meantime."""
        return self._read(wait=False) and bool(self._jobs)

    def _work(self) -> None:
        """Run jobs until there are none or it is time to report."""
        cells, jobs, unreported = self._page.cells, self._jobs, self._outbox.ended
        state, path, usual_path = self._state, sys.path, sys.path.copy()
        name, attempted, extras = self._name, self._running, self._extras
        self._costs.mark()
        now = time.monotonic_ns()
        report_at, write_at = now + REPORT_AFTER_NS, now + JOURNAL_AFTER_NS
        while now < report_at and len(unreported) < REPORT_AFTER_JOBS and (jobs or self._more()):
            sequence, claim, attempt, name, payload = jobs.popleft()
            if name in self._slow:  # what has ended must not wait to be written down
                self._costs.begin()
                now = self._write_journal()
            cells[SINCE] = now
            cells[RUNNING] = sequence
            if cells[REVOKED] and revoked(cells[REVOKED], sequence):
                self._outbox.report.dropped.append(sequence)
                extras.pop(sequence, None)
            elif name not in self._classes:
                self._outbox.report.unknown.append(sequence)
                extras.pop(sequence, None)
            else:
                self._output.speaker = (claim[1], attempt)
                attempted.id, attempted.number = claim[1], attempt
                attempted.extra = extras.pop(sequence, None) if extras else None
                began, now = now, self._realize(sequence, claim, name, payload, now)
                if state.touched or path != usual_path or now - began > LONG_JOB_NS:
                    self._write_journal()
                    self._restore(name)
                    now = time.monotonic_ns()
                if now >= write_at:
                    now = self._write_journal()
                    write_at = now + JOURNAL_AFTER_NS
        self._name = name
        self._write_journal()
        if not jobs:
            cells[RUNNING] = IDLE

    def _realize(  # noqa: C901, PLR0912  in one piece: a call takes a part of what a short job does
        self, sequence: int, claim: tuple[int, int], name: str, payload: str, began: int
    ) -> int:
        """Run one job from `began` on; returns when it ended, both in monotonic ns."""
        if name in self._slow:
            self._output.announce()
        result: str | None = None
        declared: tuple[Declaration, ...] = ()
        ended: Ended | None = None
        extra = self._running.extra
        job = unfit = None
        try:
            self._running.job = job = self._classes[name](**fields(payload))
            value = job.handle() if extra is None else self._perform(claim, name, job, extra)
            result = None if value is None else self._encode(value)
            if made := getattr(job, FOLLOW_UPS, None):
                declared = self._follow_ups(made)
        except Interrupted:
            self._interruption.exit_if_forked()
            self._interruption.die()
        except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
            ended = self._unfinished(error)  # the exception itself would keep the job alive
            if job is None and isinstance(error, TypeError):
                unfit = refusal(self._specs.get(name), fields(payload))
        self._interruption.exit_if_forked()
        if extra is not None and extra.hooks is not None:
            ended = ended or Completed(0.0, 0.0, result, declared)
            times = self._epoch + began / 1e9, self._epoch + time.monotonic_ns() / 1e9
            ended = self._performer.end(claim, name, extra.hooks, ended, times)
        self._running.job = None
        self._output.end()
        now = time.monotonic_ns()
        if unfit is not None:
            self._outbox.report.unfit.append((sequence, unfit))
            return now
        times = self._epoch + began / 1e9, self._epoch + now / 1e9
        if ended is None:
            ended = Completed(*times, result, declared)
            if result and len(result) > MAX_RESULT_BYTES:
                cut_result(ended)
        elif not ended.finished_at:
            ended.started_at, ended.finished_at = times
        if now - began > QUICK_JOB_NS:
            self._slow.add(name)
            if now - began > COUNTED_NS:
                self._outbox.costs.append((sequence, *self._costs.end()))
        else:
            self._slow.discard(name)
        self._journal.add((claim, ended))
        self._outbox.ended.append((sequence, ended))
        if (result and len(result) > LARGE_BYTES) or (declared and are_large(declared)):
            self._outbox.send_reportable()
        return now

    def _unfinished(self, error: BaseException) -> Ended:
        """What an exception of the running job comes to."""
        self._interruption.exit_if_forked()
        if self._interruption.tasks_cancelled:
            self._interruption.die()
        ended = unfinished(error, self._running.token)
        if isinstance(ended, Failed):
            self._performer.decide(ended, error)
        return ended

    def _restore(self, name: str) -> None:
        """Put back what this job has changed in this process, or have it replaced."""
        if self.titles is not None:
            self.titles.clear()
        if self._spoiled:
            return
        if self._has_leftovers():
            self._end_leftovers(name)
        elif lost := self._state.restore():
            self._spoil(name, ", ".join(lost))

    def _has_leftovers(self) -> bool:
        return self._state.leftovers.is_there()

    def _end_leftovers(self, name: str) -> None:
        """End what this job has left, once it has been reported what came of it."""
        self._outbox.send()
        left = self._state.leftovers.end()
        self._outbox.report.left += [(name, *one) for one in left]
        lost = self._state.restore()
        if lost or self._state.leftovers.has_threads:
            self._spoil(name, ", ".join(lost))

    def _tell_tasks(self, names: list[str]) -> None:
        """The running job has left these tasks, which are being cancelled."""
        job = type(self._running.job)
        name = next(name for name, cls in self._classes.items() if cls is job)
        self._outbox.report.left.append((name, counted("task", names), False))

    def _spoil(self, name: str, what: str) -> None:
        """Run nothing more here; `what` has been lost, if no more has to be told of that."""
        self._spoiled = True
        self._outbox.report.spoiled = (name, what)
        self._drop_all()

    def _drop_all(self) -> None:
        """Give back what may not be run in this process any more."""
        self._outbox.report.dropped += [sequence for sequence, *_ in self._jobs]
        self._jobs.clear()
        self._extras.clear()

    def _write_journal(self) -> int:
        """Write down what has ended, at no job's expense; returns the monotonic ns after that."""
        cells = self._page.cells
        if cells[RUNNING] > 0:
            cells[LAST] = cells[RUNNING]
        cells[RUNNING] = JOURNALLING
        self._journal.write()
        return time.monotonic_ns()

    def _report_on_request(self, requests: int) -> None:
        """Report what has ended while the running job goes on: the supervisor asks for it."""
        while asked := os.read(requests, MAX_REQUESTS_BYTES):
            self._steps.wake()
            self._outbox.send_reportable()
            if self.titles is not None:
                self.titles.take(asked)


def are_large(declared: tuple[Declaration, ...]) -> bool:
    """Whether follow-ups are to be reported by themselves."""
    return sum(len(one.payload) for one in declared) > LARGE_BYTES


def fields(payload: str) -> Any:
    """A payload as Python's own parser reads it, at a tenth of the time."""
    try:
        return decode(payload)
    except (ValueError, RecursionError):  # it refuses some of what Python writes itself
        return json.loads(payload)
