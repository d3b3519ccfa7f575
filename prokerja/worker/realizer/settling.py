"""What becomes of async jobs that run beside each other."""

from __future__ import annotations

import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from prokerja.job import FOLLOW_UPS
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.verdicts import Completed, Failed
from prokerja.worker.realizer.attempts import (
    Attempt,
    JobsBeside,
    PerformerBeside,
    RunningBeside,
    StepsBeside,
    identity,
)
from prokerja.worker.realizer.coroutines import loop_factory
from prokerja.worker.realizer.leftovers import counted
from prokerja.worker.realizer.misfit import refusal
from prokerja.worker.realizer.outcome import cut_result, encode_result, unfinished
from prokerja.worker.realizer.performing import names_of_hooks
from prokerja.worker.realizer.run import (
    LARGE_BYTES,
    QUICK_JOB_NS,
    REPORT_AFTER_JOBS,
    REPORT_AFTER_NS,
    Realizer,
    are_large,
    fields,
)
from prokerja.worker.realizer.winding_up import InterruptionBeside

if TYPE_CHECKING:
    import asyncio

    from prokerja.verdicts import Ended, Refusal
    from prokerja.worker.output.voices import VoiceCapture
    from prokerja.worker.realizer.attempts import Given

WRITE_AFTER_NS = 50_000
"""Between two entries of the journal, while nothing but short jobs has its turn."""


class SettlingRealizer(Realizer):
    """Hears from its attempts what becomes of them; `ConcurrentRealizer` begins them."""

    _interruption_kind = InterruptionBeside
    _running_kind = RunningBeside
    _job_kind = JobsBeside
    _steps_kind = StepsBeside
    _interruption: InterruptionBeside
    _running: RunningBeside
    _steps: StepsBeside
    _output: VoiceCapture

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.cells = self._page.cells
        self._hooks = names_of_hooks(self._classes)
        self._waiting: deque[Given] = deque()
        """As `_jobs`, which are the plain ones that are next."""
        self._free: list[int] = []
        """Slots of the shared page."""
        self.in_flight: dict[int, Attempt] = {}
        """Async jobs that have begun, by sequence number."""
        self.loop = loop_factory()()
        self._own_context = Context()
        """What is called in it is no part of any job."""
        self._report_call: asyncio.Handle | None = None
        self._report_is_late = False
        """Whether that is in a moment, and not at once."""
        self._write_at = 0

    def _check_size(self) -> None:
        """Drop what waits if it may not run here any more; without a limit, nothing says so."""

    def _start_soon(self) -> None:
        """Begin more jobs, now that there is room."""
        raise NotImplementedError

    def report(self) -> None:
        """Tell what came of jobs."""
        self._report_call = None
        self._journal.write()
        self._outbox.send()
        if not (self.in_flight or self._waiting or self._jobs):
            self._output.flush()
            self._restore(self._name)
            self._outbox.send()

    def before_step(self, attempt: Attempt) -> None:
        """What has ended must not wait to be written down while a slow job has its turn."""
        if attempt.name in self._slow:
            self._journal.write()

    def begin(self, attempt: Attempt) -> Any:
        """Make its job, and call it; returns what `handle()` returned."""
        attempt.steps, attempt.progress = self._running.steps, self._running.progress
        attempt.job = job = self._classes[attempt.name](**fields(attempt.payload))
        self._running.by_job[identity(job)] = attempt
        extra = attempt.extra
        if extra is None:
            return job.handle()
        attempt.performer = PerformerBeside(
            self._hooks, attempt, self._page, self._outbox, self._journal, self._interruption
        )
        attempt.performer.slot = attempt.slot
        return attempt.performer.perform(attempt.claim, attempt.name, job, extra)

    def complete(self, attempt: Attempt, value: Any) -> None:
        """`handle()` has returned, or its coroutine has."""
        try:
            result = None if value is None else encode_result(value)
            made = getattr(attempt.job, FOLLOW_UPS, None)
            declared = self._follow_ups(made) if made else ()
        except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
            self.fail(attempt, error)
        else:
            self._settle(attempt, Completed(0.0, 0.0, result, declared))

    def fail(self, attempt: Attempt, error: BaseException) -> None:
        """It has raised an exception."""
        self._interruption.exit_if_forked()
        if self._interruption.is_ending:
            self.forsake(attempt)
            return
        ended, unfit = unfinished(error, attempt.token), None
        if attempt.job is None and isinstance(error, TypeError):
            unfit = refusal(self._specs.get(attempt.name), fields(attempt.payload))
        if isinstance(ended, Failed) and attempt.performer is not None and not attempt.is_cut:
            attempt.performer.decide(ended, error)
        self._settle(attempt, ended, unfit)

    def forsake(self, attempt: Attempt) -> None:
        """It was interrupted: its supervisor says what becomes of it."""
        self._output.end_voice(attempt)
        self._remove(attempt)
        if self._interruption.is_ending and not self.in_flight:
            self.loop.stop()

    def _settle(self, attempt: Attempt, ended: Ended, unfit: Refusal | None = None) -> None:
        """An attempt has ended: its hooks, what it has printed, what it has left."""
        times = self._epoch + attempt.began / 1e9, self._epoch + time.monotonic_ns() / 1e9
        extra = attempt.extra
        hooks = None if extra is None or attempt.is_cut else extra.hooks
        if hooks is not None and attempt.performer is not None:
            ended = attempt.performer.end(attempt.claim, attempt.name, hooks, ended, times)
        self._interruption.exit_if_forked()
        if attempt.parts:
            self._end_parts(attempt)
        self._output.end_voice(attempt)
        now = time.monotonic_ns()
        if unfit is not None:
            self._outbox.report.unfit.append((attempt.sequence, unfit))
        else:
            self._note(attempt, ended, times, now)
        if self._state.touched:
            self._restore(attempt.name)
        if self.files is not None and self.files.may_be_new:
            began = min(one.began for one in (attempt, *self.in_flight.values()))
            self._note_files(self._epoch + began / 1e9)
        if now - attempt.began > QUICK_JOB_NS:
            self._slow.add(attempt.name)
        else:
            self._slow.discard(attempt.name)
        self._remove(attempt)
        self._page.leave(attempt.slot)
        self._free.append(attempt.slot)
        self._go_on()

    def _has_leftovers(self) -> bool:
        """Only where no other job could have started what is there."""
        return not self.in_flight and super()._has_leftovers()

    def _end_parts(self, attempt: Attempt) -> None:
        """Cancel the tasks that it has left."""
        left = [part for part in attempt.parts if not part.done()]
        for part in left:
            part.cancel()
        if left and not attempt.is_cut:
            names = [part.get_name() for part in left]
            self._outbox.report.left.append((attempt.name, counted("task", names), False))

    def _note(self, attempt: Attempt, ended: Ended, times: tuple[float, float], now: int) -> None:
        """Write it down, and keep it to be reported."""
        if isinstance(ended, Completed) and len(ended.result or "") > MAX_RESULT_BYTES:
            cut_result(ended)
        if not ended.finished_at:
            ended.started_at, ended.finished_at = times
        self._journal.add((attempt.claim, ended))
        self._outbox.ended.append((attempt.sequence, ended))
        if now >= self._write_at:
            self._journal.write()
            self._write_at = time.monotonic_ns() + WRITE_AFTER_NS
        if isinstance(ended, Completed) and _is_large(ended):
            self._outbox.send_reportable()

    def _remove(self, attempt: Attempt) -> None:
        self._name = attempt.name
        self.in_flight.pop(attempt.sequence, None)
        self._running.by_job.pop(identity(attempt.job), None)
        self._steps.forget(attempt.sequence)
        attempt.job = attempt.task = None

    def _go_on(self) -> None:
        """A slot is free, and there is something to report."""
        if self._interruption.is_ending:
            if not self.in_flight:
                self.loop.stop()
            return
        if self._waiting:
            self._start_soon()
        self._report_soon()

    def _report_soon(self) -> None:
        """At once if nothing waits: else what has ended is gathered for a moment."""
        is_urgent = not self._waiting or len(self._outbox.ended) >= REPORT_AFTER_JOBS
        if self._report_call is not None and not (is_urgent and self._report_is_late):
            return
        if self._report_call is not None:
            self._report_call.cancel()
        self._report_is_late = not is_urgent
        if is_urgent:
            self._report_call = self.loop.call_soon(self.report, context=self._own_context)
        else:
            seconds = REPORT_AFTER_NS / 1e9
            self._report_call = self.loop.call_later(
                seconds, self.report, context=self._own_context
            )


def _is_large(ended: Completed) -> bool:
    if ended.result and len(ended.result) > LARGE_BYTES:
        return True
    return bool(ended.follow_ups) and are_large(ended.follow_ups)
