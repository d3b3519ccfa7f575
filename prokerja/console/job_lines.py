"""What a worker's log says of what happens to a job."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from prokerja import worker_events as events
from prokerja.console.journal import ERROR, INFO, WARNING
from prokerja.console.log_line import Line, cut
from prokerja.times import human


def job_line(event: Any, called: str) -> Line | None:
    """What to say of an event of a job, which it names; None where there is nothing to say.

    `called` is what the job calls itself; empty if it does not.
    """
    said = _line(event)
    if said is None:
        return None
    job = f"job {event.id} {event.name}{f' ({called})' if called else ''}"
    return said._replace(text=f"{job}: {said.text}")


@singledispatch
def _line(_: Any) -> Line | None:
    """Without the job that it is about."""
    return None


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
def _(_: events.JobNotSuspended) -> Line:
    return Line(WARNING, "cannot be suspended while others run beside it (--concurrency)")


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
