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
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.json import decode

from prokerja import running
from prokerja.hooks import hooks_of
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.verdicts import Completed, Ended, Failed, HooksEnded, Told
from prokerja.worker.realizer.event_loop import cancel_tasks
from prokerja.worker.realizer.hooks import Hooks
from prokerja.worker.realizer.misfit import refusal
from prokerja.worker.realizer.outcome import (
    cut_result,
    encode_result,
    follow_ups,
    format_error,
    unfinished,
)
from prokerja.worker.realizer.performing import perform
from prokerja.worker.realizer.process_state import ProcessState
from prokerja.worker.realizer.progress import ProgressReports
from prokerja.worker.realizer.running_job import RunningJob
from prokerja.worker.realizer.steps import Steps
from prokerja.worker.wire.messages import Batch, Launch, Report
from prokerja.worker.wire.shared_page import (
    IDLE,
    JOURNALLING,
    LAST,
    REVOKED,
    RUNNING,
    SINCE,
    SharedPage,
    revoked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from prokerja.model.claim import Extra, Hooking
    from prokerja.model.declaration import Declaration
    from prokerja.spec import JobSpec
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.journal import Claim, Journal

REPORT_AFTER_NS, REPORT_AFTER_JOBS = 12_000_000, 500
"""After which results are reported, even if there is more to do."""
JOURNAL_AFTER_NS = 10_000
"""Between two entries, at least: what takes longer by itself is written down at once."""
LONG_JOB_NS = 5_000_000
"""Of a job after which it is looked at what it has changed in this process."""
QUICK_JOB_NS = 200_000
"""A job slower than this may start processes, so it is announced beforehand."""
LARGE_BYTES = 2**16
"""A result, or follow-ups, of more than this are reported by themselves: frames stay small."""

EMPTY = Report()


class Interrupted(SystemExit):
    """The running job is to end: its time limit, or the worker's grace, is over."""


class Realizer:
    """Runs jobs one after the other, in the order in which they come."""

    def __init__(
        self,
        launch: Launch,
        channel: Channel[Batch],
        journal: Journal,
        classes: Mapping[str, Callable[..., Any]],
        specs: Mapping[str, JobSpec],
        output: OutputCapture,
    ) -> None:
        self._channel = channel
        self._page = SharedPage(launch.page)
        self._output = output
        self._classes = classes
        self._specs = specs
        self._directory = launch.jobs
        self._running = running.current = running.Running()
        job = RunningJob(self._running, self._page)
        self._progress = ProgressReports(job, self._send_reportable)
        self._steps = Steps(job, self._page, self._send_step)
        self._running.steps, self._running.progress = self._steps, self._progress
        self._extras: dict[int, Extra] = {}
        """What some jobs are given beside their payloads, by sequence number."""
        self._jobs: deque[tuple[int, tuple[int, int], int, str, str]] = deque()
        """Sequence number, the claim's token with the declaration's id, attempt, name, payload."""
        self._unreported: deque[tuple[int, Ended]] = deque()
        self._journal = journal
        self._refused = Report()
        """What else is to be reported: jobs that were not started."""
        self._sending = threading.Lock()
        self._sent_steps = 0
        self._slow: set[str] = set(self._classes)
        found = {name: hooks_of(cls) for name, cls in classes.items() if isinstance(cls, type)}
        self._hook_names = {name: names for name, names in found.items() if names}
        self._hooks: Hooks | None = None
        """Those of the running job."""
        self._descriptions: deque[tuple[int, str]] = deque()
        """What jobs call themselves, where that is not reported yet."""
        self._poll = select.poll()
        self._poll.register(self._channel.socket, select.POLLIN)
        self._epoch = 0.0
        self._process = os.getpid()
        self._name = ""
        """Of the last job that was run."""
        self._spoiled = False
        """Whether it was changed for good, so that it has to be replaced."""
        self._cancelled = False
        """Whether the running job's tasks were cancelled, because it is to end."""
        listener = threading.Thread(
            target=self._report_on_request, args=(launch.requests,), daemon=True
        )
        listener.start()

    def run(self) -> None:
        """Work until the supervisor hangs up."""
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_term)
            os.register_at_fork(
                before=self._block_term,
                after_in_child=self._end_at_term,
                after_in_parent=self._unblock_term,
            )
        self._state = ProcessState()
        while self._read(wait=not self._jobs):
            # Monotonic time orders what happens here; this turns it into the time of day.
            self._epoch = time.time() - time.monotonic()
            try:
                self._work()
            except Interrupted:  # a moment before or after the job itself
                self._die()
            self._send()
            self._restore(self._name)
            self._send()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._channel.socket.detach()  # closed by this process's end, and not before

    def _block_term(self) -> None:
        """Keep a TERM from a child that is being made: Python forgets what it hears before."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def _unblock_term(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _end_at_term(self) -> None:
        """What a job forks ends at a TERM, as any process does."""
        if signal.getsignal(signal.SIGTERM) == self._on_term:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._unblock_term()

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if self._page.cells[RUNNING] <= 0 or os.getpid() != self._process:
            self._die()
        if self._cancelled or not cancel_tasks(frame):
            raise Interrupted("the job was asked to end")
        self._cancelled = True

    def _die(self) -> NoReturn:
        """End as any process does that is asked to, now that the job's own clean-up is done."""
        self._output.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)

    def _read(self, *, wait: bool) -> bool:
        while wait or self._poll.poll(0):
            batches = self._channel.receive()
            if batches is None:
                return False
            for batch in batches:
                for sequence, (claim, attempt, lane, payload) in enumerate(batch.jobs, batch.first):
                    self._jobs.append((sequence, claim, attempt, batch.names[lane], payload))
                self._extras.update(batch.extras)
                wait = False
        if self._spoiled:
            self._drop_all()
        return True

    def _more(self) -> bool:
        """Whether there are jobs again in the meantime."""
        return self._read(wait=False) and bool(self._jobs)

    def _work(self) -> None:
        """Run jobs until there are none or it is time to report."""
        cells, jobs, unreported = self._page.cells, self._jobs, self._unreported
        state, path, usual_path = self._state, sys.path, sys.path.copy()
        name, attempted, extras = self._name, self._running, self._extras
        now = time.monotonic_ns()
        report_at, write_at = now + REPORT_AFTER_NS, now + JOURNAL_AFTER_NS
        while now < report_at and len(unreported) < REPORT_AFTER_JOBS and (jobs or self._more()):
            sequence, claim, attempt, name, payload = jobs.popleft()
            if name in self._slow:  # what has ended must not wait to be written down
                now = self._write_journal()
            cells[SINCE] = now
            cells[RUNNING] = sequence
            if cells[REVOKED] and revoked(cells[REVOKED], sequence):
                self._refused.dropped.append(sequence)
                extras.pop(sequence, None)
            elif name not in self._classes:
                self._refused.unknown.append(sequence)
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

    def _realize(  # noqa: C901  in one piece: a call takes a part of what a short job does
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
            result = None if value is None else encode_result(value)
            declared = follow_ups(job, self._directory)
        except Interrupted:
            self._exit_if_forked()
            self._die()
        except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
            ended = self._unfinished(error)  # the exception itself would keep the job alive
            if job is None and isinstance(error, TypeError):
                unfit = refusal(self._specs.get(name), fields(payload))
        self._exit_if_forked()
        if extra is not None and extra.hooks is not None:
            ended = ended or Completed(0.0, 0.0, result, declared)
            ended = self._end_with_hooks(claim, name, extra.hooks, ended, began)
        self._running.job = None
        self._output.end()
        now = time.monotonic_ns()
        if unfit is not None:
            self._refused.unfit.append((sequence, unfit))
            return now
        times = self._epoch + began / 1e9, self._epoch + now / 1e9
        if ended is None:
            ended = Completed(*times, result, declared)
            if result and len(result) > MAX_RESULT_BYTES:
                cut_result(ended)
        elif not ended.finished_at:
            ended.started_at, ended.finished_at = times
        self._journal.add((claim, ended))
        self._unreported.append((sequence, ended))
        if (result and len(result) > LARGE_BYTES) or (declared and _are_large(declared)):
            self._send(refused=False)
        if now - began > QUICK_JOB_NS:
            self._slow.add(name)
        else:
            self._slow.discard(name)
        return now

    def _unfinished(self, error: BaseException) -> Ended:
        """What an exception of the running job comes to."""
        self._exit_if_forked()
        if self._cancelled:
            self._die()
        ended = unfinished(error, self._running.token)
        if self._hooks is not None and isinstance(ended, Failed):
            self._hooks.decide(ended, self._running.number, error)
        return ended

    def _perform(self, claim: Claim, name: str, job: Any, extra: Extra) -> Any:
        """Run a job that is given more than its payload."""
        if extra.hooks is None:
            return perform(job, extra)
        tell = partial(self._tell_hook_error, claim[1], name)
        self._hooks = hooks = Hooks(job, self._hook_names.get(name, ()), extra.hooks, tell)
        if extra.hooks.ended is not None:
            self._running.id = 0  # it does not run
            return hooks.tell_end(*extra.hooks.ended)
        if text := hooks.begin(self._running.number):
            self._descriptions.append((self._page.cells[RUNNING], text))
            if name in self._slow:
                self._send(refused=False)
        return perform(job, extra)

    def _end_with_hooks(
        self, claim: Claim, name: str, given: Hooking, ended: Ended, began: int
    ) -> Ended:
        """Run the hooks that are to hear of an end, which is written down before they do."""
        hooks, self._hooks = self._hooks, None
        if isinstance(ended, Completed) and len(ended.result or "") > MAX_RESULT_BYTES:
            cut_result(ended)
        now = time.monotonic_ns()
        times = ended.started_at, ended.finished_at = (
            self._epoch + began / 1e9,
            self._epoch + now / 1e9,
        )
        if given.ended is not None:
            if isinstance(ended, Failed):
                self._refused.hook_errors.append((claim[1], name, "hooks", ended.error))
            return HooksEnded(*times)
        if hooks is not None:
            if hooks.is_final(ended):
                ended.told = Told.OWED
            end = (claim, ended)
            self._journal.add(end)
            self._journal.write()
            self._page.cells[SINCE] = now  # their own time limit begins
            hooks.end(ended)
            self._exit_if_forked()
            if hooks.is_final(ended):
                ended.told = Told.ALL
        return ended

    def _tell_hook_error(self, id: int, name: str, hook: str, error: BaseException) -> None:
        """Also how a hook learns that its time is over."""
        self._exit_if_forked()
        if isinstance(error, Interrupted) or self._cancelled:
            self._die()
        self._refused.hook_errors.append((id, name, hook, format_error(error)))

    def _restore(self, name: str) -> None:
        """Put back what this job has changed in this process, or have it replaced."""
        if not self._spoiled and (lost := self._state.restore()):
            self._spoiled = True
            self._refused.spoiled = (name, ", ".join(lost))
            self._drop_all()

    def _drop_all(self) -> None:
        """Give back what may not be run in this process any more."""
        self._refused.dropped += [sequence for sequence, *_ in self._jobs]
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

    def _exit_if_forked(self) -> None:
        """End a child that the job has forked and that came back from it like its parent."""
        if os.getpid() != self._process:
            os._exit(0)

    def _report_on_request(self, requests: int) -> None:
        """Report what has ended while the running job goes on: the supervisor asks for it."""
        while os.read(requests, 64):
            self._steps.wake()
            self._send_reportable()

    def _send_reportable(self) -> None:
        """What any thread may send at any time."""
        self._send(refused=False)

    def _send_step(self, sequence: int, name: str, result: str) -> int:
        """Returns how many have been sent by then."""
        with self._sending:
            self._channel.post(Report(steps=[(sequence, name, result)]))
            self._sent_steps += 1
            return self._sent_steps

    def _send(self, *, refused: bool = True) -> None:
        with self._sending:
            report = Report()
            if refused:
                report, self._refused = self._refused, report
            if self._progress.latest:
                report.progress = self._progress.take()
            while self._descriptions:
                report.descriptions.append(self._descriptions.popleft())
            while self._unreported:
                report.ended.append(self._unreported.popleft())
            if report != EMPTY:
                self._channel.post(report)


def _are_large(declared: tuple[Declaration, ...]) -> bool:
    return sum(len(one.payload) for one in declared) > LARGE_BYTES


def fields(payload: str) -> Any:
    """A payload as Python's own parser reads it, at a tenth of the time."""
    try:
        return decode(payload)
    except (ValueError, RecursionError):  # it refuses some of what Python writes itself
        return json.loads(payload)
