"""What a worker's log says of each event: how much it matters, and one line of text."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja import worker_events as events
from prokerja.console import plural
from prokerja.console.journal import ERROR, INFO, WARNING
from prokerja.text import brief
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = {ERROR: "error", WARNING: "warning", INFO: "info"}
MAX_ERROR_CHARACTERS = 500
"""Of an error; all of it is kept with its job."""


class Line(NamedTuple):
    """One line of the log, without its end."""

    level: int
    text: str


def line(event: Any, called: str = "") -> Line | None:
    """What to say of an event; None where there is nothing to say.

    `called` is what the job that it is about calls itself, if it does.
    """
    said = _line(event)
    if said is None or not hasattr(event, "id"):
        return said
    job = f"job {event.id} {event.name}{f' ({called})' if called else ''}"
    return Line(said.level, f"{job}: {said.text}")


@singledispatch
def _line(_: Any) -> Line | None:
    """Without the job that it is about."""
    return None


@_line.register
def _(event: events.WorkerStarted) -> Line:
    return Line(
        INFO,
        f"worker {event.worker} started: {plural(event.realizers, 'realizer')},"
        f" queues: {_queues(event)}, jobs: {', '.join(event.names) or 'none'}",
    )


@_line.register
def _(event: events.FileBroken) -> Line:
    return Line(ERROR, f"{event.file} cannot be used: {cut(event.error)}")


@_line.register
def _(event: events.JobsRecovered) -> Line:
    ended = f"; settled what it had ended: {plural(event.ended, 'job')}" if event.ended else ""
    returned = plural(event.returned, "job")
    text = f"worker {event.worker} is dead; put back what it held: {returned}{ended}"
    return Line(WARNING, text)


@_line.register
def _(event: events.LockLeft) -> Line:
    text = f"cannot delete {event.file}, which a dead worker has left: {cut(event.error)}"
    return Line(WARNING, text)


@_line.register
def _(event: events.JobStarted) -> Line:
    text = f"attempt {event.attempt} is running"
    return Line(INFO, text)


@_line.register
def _(event: events.JobCompleted) -> Line:
    what = f"completed in {human(event.seconds)}"
    return Line(INFO, what)


@_line.register
def _(event: events.JobCancelled) -> Line:
    what = f"to be stopped, {cut(event.error)}"
    return Line(INFO, what)


@_line.register
def _(_: events.JobSuspended) -> Line:
    return Line(INFO, "suspended")


@_line.register
def _(_: events.JobResumed) -> Line:
    return Line(INFO, "goes on")


@_line.register
def _(event: events.JobRefused) -> Line:
    return Line(
        WARNING,
        f"goes back, and others like it are left alone: this worker {cut(event.why)}; restart it",
    )


@_line.register
def _(event: events.JobFailed) -> Line:
    again = "for good" if event.retry_in is None else f"again in {human(event.retry_in)}"
    what = f"attempt {event.attempt} failed, {again}" if event.attempt else "failed unstarted"
    text = f"{what}: {cut(event.error)}"
    return Line(ERROR if event.retry_in is None else WARNING, text)


@_line.register
def _(event: events.JobPostponed) -> Line:
    what = f"to be run again in {human(event.seconds)}"
    return Line(INFO, what)


@_line.register
def _(event: events.JobParked) -> Line:
    limit = "" if event.timeout is None else f", for {human(event.timeout)} at most"
    what = f"waits to be resolved{limit}"
    return Line(INFO, what)


@_line.register
def _(event: events.HookFailed) -> Line:
    what = f"{event.hook} went wrong: {cut(event.error)}"
    return Line(ERROR, what)


@_line.register
def _(event: events.RealizerDied) -> Line:
    return Line(ERROR, f"realizer {event.pid}: {cut(event.how)}")


@_line.register
def _(event: events.RealizerReplaced) -> Line:
    return Line(
        WARNING,
        f"{event.name} changed its process for good ({cut(event.what)});"
        f" realizer {event.pid} is replaced each time, which takes a moment",
    )


@_line.register
def _(event: events.LeftBehind) -> Line:
    fate = f"so realizer {event.pid} is replaced each time, which takes a moment"
    if not event.stays:
        fate = "which is ended each time"
    return Line(WARNING, f"{event.name} leaves something running: {cut(event.what)}; {fate}")


@_line.register
def _(event: events.RealizerNotStarted) -> Line:
    again = human(event.retry_in)
    text = f"no realizer could be started, trying again in {again}: {cut(event.error)}"
    return Line(ERROR, text)


@_line.register
def _(event: events.ListenersEnded) -> Line:
    again = "" if event.retry_in is None else f"; starting it again in {human(event.retry_in)}"
    return Line(ERROR, f"the process of listeners.py {event.how}{again}")


@_line.register
def _(event: events.FileUnwatched) -> Line:
    error = cut(event.error)
    text = f"the file cannot be watched, looking again and again instead: {error}"
    return Line(WARNING, text)


@_line.register
def _(event: events.StoreTroubled) -> Line:
    return Line(WARNING, f"{cut(event.error)}; trying again")


@_line.register
def _(event: events.TracingFailed) -> Line:
    return Line(WARNING, cut(event.error))


@_line.register
def _(event: events.ClaimingHeld) -> Line:
    return Line(WARNING, f"taking no jobs: {cut(event.why)}")


@_line.register
def _(event: events.ClaimingResumed) -> Line:
    if not event.still:
        return Line(INFO, "taking jobs again")
    still = ", ".join(event.still)
    return Line(WARNING, f"still taking no jobs ({still}), but not for {event.kind}")


@_line.register
def _(event: events.WorkerStopping) -> Line:
    return Line(
        INFO,
        f"stopping: {event.why}; running jobs have {human(event.grace)} to end,"
        " a second interrupt ends them now",
    )


@_line.register
def _(event: events.WorkerStopped) -> Line:
    back = f", {event.returned:,} put back to pending" if event.returned else ""
    done = f"{plural(event.completed, 'attempt')} completed, {event.failed:,} failed"
    return Line(INFO, f"worker stopped: {done}{back}")


def cut(error: str) -> str:
    """The beginning of an error's first line."""
    return brief(error.partition("\n")[0], MAX_ERROR_CHARACTERS)


def _queues(event: events.WorkerStarted) -> str:
    return ", ".join(_weighted(event)) or "all"


def _weighted(event: events.WorkerStarted) -> Iterable[str]:
    if not event.weights:
        return event.queues
    pairs = zip(event.queues, event.weights, strict=True)
    return [f"{queue}={weight}" for queue, weight in pairs]
