"""What a worker's log says of each event."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from prokerja import sizes
from prokerja import worker_events as events
from prokerja.console import plural
from prokerja.console.job_lines import job_line
from prokerja.console.journal import ERROR, INFO, WARNING
from prokerja.console.log_line import Line, cut
from prokerja.console.worker_state import state_lines
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_FILES = 3
"""That are named when code has changed."""


def line(event: Any, called: str = "") -> Line | None:
    """What to say of an event; None where there is nothing to say.

    `called` is what the job that it is about calls itself, if it does.
    """
    return job_line(event, called) if hasattr(event, "id") else _line(event)


@singledispatch
def _line(_: Any) -> Line | None:
    return None


@_line.register
def _(event: events.WorkerStarted) -> Line:
    return Line(
        INFO,
        f"worker {event.worker} started: {plural(event.realizers, 'realizer')},"
        f" queues: {_queues(event)}, jobs: {', '.join(event.names) or 'none'}",
    )


@_line.register
def _(event: events.JobsChanged) -> Line:
    return Line(INFO, f"its jobs are now: {', '.join(event.names) or 'none'}")


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
def _(event: events.RealizerOutgrown) -> Line:
    return Line(
        WARNING,
        f"realizer {event.pid} is replaced: it holds {sizes.human(event.bytes)} after"
        f" {event.name}, and may hold {sizes.human(event.limit)}",
    )


@_line.register
def _(event: events.RealizerNotStarted) -> Line:
    again = human(event.retry_in)
    text = f"no realizer could be started, trying again in {again}: {cut(event.error)}"
    return Line(ERROR, text)


@_line.register
def _(event: events.CodeChanged) -> Line:
    if event.error is not None:
        text = f"new code does not load, so older code runs on: {cut(event.error)}"
        return Line(ERROR, text)
    files = ", ".join(event.files[:MAX_FILES])
    more = f" and {len(event.files) - MAX_FILES} more" if len(event.files) > MAX_FILES else ""
    return Line(INFO, f"new code is in use: {files}{more}")


@_line.register
def _(event: events.CodeUnwatched) -> Line:
    text = f"code cannot be watched, looking again and again instead: {cut(event.error)}"
    return Line(WARNING, text)


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
def _(event: events.ResultsKept) -> Line:
    kept, lost = plural(event.kept, "job"), plural(event.lost, "job")
    texts = [f"kept beside the queue, for the next worker to write: results of {kept}"]
    texts = texts if event.kept else []
    if event.lost:
        texts.append(f"no room to keep the results of {lost}, to be run again")
    return Line(WARNING, "; ".join(texts))


@_line.register
def _(event: events.ClockJumped) -> Line:
    where = "put back" if event.seconds < 0 else "put forward, or the machine slept,"
    return Line(WARNING, f"the clock was {where} by {human(round(abs(event.seconds)))}")


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
    what = "stopping, and starting afresh" if event.restarts else "stopping"
    if event.grace is not None:
        how = f"running jobs have {human(event.grace)} to end, an interrupt ends them now"
    elif event.restarts:
        how = "running jobs may finish"
    else:
        how = "running jobs may finish, a second interrupt ends them now"
    return Line(INFO, f"{what}: {event.why}; {how}")


@_line.register
def _(event: events.ReliefStarted) -> Line:
    return Line(INFO, f"process {event.pid} takes jobs meanwhile")


@_line.register
def _(event: events.ReliefNotStarted) -> Line:
    again = human(event.retry_in)
    text = f"nobody takes jobs meanwhile, trying again in {again}: {cut(event.error)}"
    return Line(ERROR, text)


@_line.register
def _(event: events.ReliefEnded) -> Line:
    again = "" if event.retry_in is None else f"; starting another in {human(event.retry_in)}"
    text = f"process {event.pid}, which took jobs meanwhile, has left: {event.how}{again}"
    return Line(INFO if event.retry_in is None else WARNING, text)


@_line.register
def _(event: events.WorkerState) -> Line:
    first, *more = state_lines(event)
    return Line(INFO, first, tuple(more))


@_line.register
def _(event: events.WorkerStopped) -> Line:
    back = f", {event.returned:,} put back to pending" if event.returned else ""
    done = f"{plural(event.completed, 'attempt')} completed, {event.failed:,} failed"
    return Line(INFO, f"worker stopped: {done}{back}")


def _queues(event: events.WorkerStarted) -> str:
    return ", ".join(_weighted(event)) or "all"


def _weighted(event: events.WorkerStarted) -> Iterable[str]:
    if not event.weights:
        return event.queues
    pairs = zip(event.queues, event.weights, strict=True)
    return [f"{queue}={weight}" for queue, weight in pairs]
