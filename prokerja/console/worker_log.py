"""What a worker says on stderr: one line an event, and a bar if there is an end to reach."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

from prokerja import sizes
from prokerja import worker_events as events
from prokerja.console import plural
from prokerja.text import escaped
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

REDRAW_SECONDS = 1.0
"""Seconds between two lines that count settled jobs."""
MAX_DESCRIBED = 1000
"""Of the latest jobs it is known what they call themselves."""


class WorkerLog:
    """One plain line for each event; settled jobs are counted once a second."""

    def __init__(self) -> None:
        self._completed = 0
        self._said_at = 0.0
        self._described: dict[int, str] = {}
        """What jobs call themselves, by id."""

    def __enter__(self) -> WorkerLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    def say(self, line: str) -> None:
        """One line; it is lost where stderr takes none, as on a full disk: the jobs go on."""
        with contextlib.suppress(OSError):
            # All at once: what jobs print is written by another thread.
            sys.stderr.write(f"prokerja: {escaped(line)}\n")
            sys.stderr.flush()

    def _job(self, id: int, name: str) -> str:
        """A job as lines name it."""
        text = self._described.get(id)
        return f"job {id} {name}{f' ({text})' if text else ''}"

    @singledispatchmethod
    def tell(self, event: Any) -> None:
        """Take note of an event."""

    @tell.register
    def _(self, event: events.WorkerStarted) -> None:
        queues = ", ".join(event.queues) or "all"
        self.say(
            f"worker {event.worker} started: {plural(event.realizers, 'realizer')},"
            f" queues: {queues}, jobs: {', '.join(event.names) or 'none'}"
        )
        if not event.names:
            self.say("no job file was found, so only commands run; restart it after adding one")

    @tell.register
    def _(self, event: events.FileBroken) -> None:
        self.say(f"{event.file} cannot be used: {event.error}")

    @tell.register
    def _(self, event: events.JobsRecovered) -> None:
        ended = f"; settled what it had ended: {plural(event.ended, 'job')}" if event.ended else ""
        returned = plural(event.returned, "job")
        self.say(f"worker {event.worker} is dead; put back what it held: {returned}{ended}")

    @tell.register
    def _(self, event: events.LockLeft) -> None:
        self.say(f"cannot delete {event.file}, which a dead worker has left: {event.error}")

    @tell.register
    def _(self, event: events.JobStarted) -> None:
        self.say(f"{self._job(event.id, event.name)}: attempt {event.attempt} is running")

    @tell.register
    def _(self, event: events.JobDescribed) -> None:
        self._described[event.id] = event.description
        if len(self._described) > MAX_DESCRIBED:
            del self._described[next(iter(self._described))]

    @tell.register
    def _(self, event: events.JobCancelled) -> None:
        self.say(f"{self._job(event.id, event.name)}: to be stopped, {event.error}")

    @tell.register
    def _(self, event: events.JobSuspended) -> None:
        self.say(f"{self._job(event.id, event.name)}: suspended")

    @tell.register
    def _(self, event: events.JobNotSuspended) -> None:
        job = self._job(event.id, event.name)
        self.say(f"{job}: cannot be suspended while others run beside it (--concurrency)")

    @tell.register
    def _(self, event: events.JobResumed) -> None:
        self.say(f"{self._job(event.id, event.name)}: goes on")

    @tell.register
    def _(self, event: events.JobRefused) -> None:
        self.say(
            f"{self._job(event.id, event.name)} goes back, and others like it are left alone: this"
            f" worker {event.why}; restart it"
        )

    @tell.register
    def _(self, event: events.JobFailed) -> None:
        again = "for good" if event.retry_in is None else f"again in {human(event.retry_in)}"
        what = f"attempt {event.attempt} failed, {again}" if event.attempt else "failed unstarted"
        self.say(f"{self._job(event.id, event.name)}: {what}: {event.error}")

    @tell.register
    def _(self, event: events.JobPostponed) -> None:
        self.say(f"{self._job(event.id, event.name)}: to be run again in {human(event.seconds)}")

    @tell.register
    def _(self, event: events.JobParked) -> None:
        limit = "" if event.timeout is None else f", for {human(event.timeout)} at most"
        self.say(f"{self._job(event.id, event.name)}: waits to be resolved{limit}")

    @tell.register
    def _(self, event: events.HookFailed) -> None:
        self.say(f"{self._job(event.id, event.name)}: {event.hook} went wrong: {event.error}")

    @tell.register
    def _(self, event: events.JobsSettled) -> None:
        self.settled(event.completed, event.failed)

    @tell.register
    def _(self, event: events.RealizerDied) -> None:
        self.say(f"realizer {event.pid}: {event.how}")

    @tell.register
    def _(self, event: events.RealizerReplaced) -> None:
        self.say(
            f"{event.name} changed its process for good ({event.what});"
            f" realizer {event.pid} is replaced each time, which takes a moment"
        )

    @tell.register
    def _(self, event: events.RealizerOutgrown) -> None:
        self.say(
            f"realizer {event.pid} is replaced: it holds {sizes.human(event.bytes)} after"
            f" {event.name}, and may hold {sizes.human(event.limit)}"
        )

    @tell.register
    def _(self, event: events.RealizerNotStarted) -> None:
        again = human(event.retry_in)
        self.say(f"no realizer could be started, trying again in {again}: {event.error}")

    @tell.register
    def _(self, event: events.ListenersEnded) -> None:
        again = "" if event.retry_in is None else f"; starting it again in {human(event.retry_in)}"
        self.say(f"the process of listeners.py {event.how}{again}")

    @tell.register
    def _(self, event: events.FileUnwatched) -> None:
        self.say(f"the file cannot be watched, looking again and again instead: {event.error}")

    @tell.register
    def _(self, event: events.StoreTroubled) -> None:
        self.say(f"{event.error}; trying again")

    @tell.register
    def _(self, event: events.TracingFailed) -> None:
        self.say(event.error)

    @tell.register
    def _(self, event: events.ClaimingHeld) -> None:
        self.say(f"taking no jobs: {event.why}")

    @tell.register
    def _(self, event: events.ClaimingResumed) -> None:
        if event.still:
            self.say(f"still taking no jobs ({', '.join(event.still)}), but not for {event.kind}")
        else:
            self.say("taking jobs again")

    @tell.register
    def _(self, event: events.QueueEmptied) -> None:
        self._count()

    @tell.register
    def _(self, event: events.WorkerStopping) -> None:
        what = "stopping, and starting afresh" if event.restarts else "stopping"
        if event.grace is not None:
            how = f"running jobs have {human(event.grace)} to end, an interrupt ends them now"
        elif event.restarts:
            how = "running jobs may finish"
        else:
            how = "running jobs may finish, a second interrupt ends them now"
        self.say(f"{what}: {event.why}; {how}")

    @tell.register
    def _(self, event: events.ReliefStarted) -> None:
        self.say(f"process {event.pid} takes jobs meanwhile")

    @tell.register
    def _(self, event: events.ReliefNotStarted) -> None:
        again = human(event.retry_in)
        self.say(f"nobody takes jobs meanwhile, trying again in {again}: {event.error}")

    @tell.register
    def _(self, event: events.ReliefEnded) -> None:
        again = "" if event.retry_in is None else f"; starting another in {human(event.retry_in)}"
        self.say(f"process {event.pid}, which took jobs meanwhile, has left: {event.how}{again}")

    @tell.register
    def _(self, event: events.WorkerState) -> None:
        for line in state_lines(event):
            self.say(line)

    @tell.register
    def _(self, event: events.WorkerStopped) -> None:
        self._count()
        back = f", {event.returned:,} put back to pending" if event.returned else ""
        done = f"{plural(event.completed, 'attempt')} completed, {event.failed:,} failed"
        self.say(f"worker stopped: {done}{back}")

    def settled(self, completed: int, failed: int) -> None:
        """Some jobs have ended."""
        self._completed += completed
        if time.monotonic() - self._said_at >= REDRAW_SECONDS:
            self._count()

    def _count(self) -> None:
        if self._completed:
            self.say(f"completed {plural(self._completed, 'job')}")
        self._completed = 0
        self._said_at = time.monotonic()


def state_lines(state: events.WorkerState) -> Iterator[str]:
    """What a worker is at: a line for itself, for each realizer, and for what it says."""
    stops = f", stopping: {state.why}" if state.why else ""
    yield (
        f"worker {state.worker}, process {state.pid}, for {human(state.seconds)}"
        f"{_memory(state.memory)}: {plural(state.completed, 'attempt')} completed,"
        f" {state.failed:,} failed, {state.returned:,} put back{stops}"
    )
    for one in state.realizers:
        job = f"job {one.id} {one.name}, attempt {one.attempt}, for {human(one.seconds)}"
        waiting = f", {one.waiting:,} more waiting" if one.waiting else ""
        runs = "nothing" if one.id is None else job
        yield f"realizer {one.pid}{_memory(one.memory)}: runs {runs}{waiting}"
    yield from state.notes
    if state.due_in is not None:
        yield f"the next job is due in {human(max(0.0, state.due_in))}"


def _memory(size: int | None) -> str:
    return "" if size is None else f", {size / 2**20:,.0f} MiB"


class ProgressLog(WorkerLog):
    """The same, with a bar below; `total` is how many jobs there are to begin with."""

    def __init__(self, total: int) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        look = (TextColumn("realizing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*look, console=Console(stderr=True))
        self._task = self._bar.add_task("realizing", total=total)

    def __enter__(self) -> WorkerLog:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """One line, above the bar."""
        self._bar.console.print(f"prokerja: {escaped(line)}", markup=False, highlight=False)

    def settled(self, completed: int, failed: int) -> None:
        """Some jobs have ended."""
        self._completed += completed
        self._bar.advance(self._task, completed + failed)
        task = self._bar.tasks[0]
        if task.total is not None and task.completed > task.total:
            self._bar.update(self._task, total=task.completed)

    def _count(self) -> None:
        self._completed = 0
