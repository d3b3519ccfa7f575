"""`prokerja report:job`: everything about one job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from prokerja import report, sizes
from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import print_json
from prokerja.model.declaration import Status
from prokerja.model.flow import Rate
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.queue import Queue
from prokerja.text import brief, escaped, quoted
from prokerja.times import human, iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.cost import Cost
    from prokerja.model.flow import Flow
    from prokerja.model.record import Attempt, Awaiting, Detail, Parent

MAX_PARENTS = 5
"""That are named, of those on which a job depends."""


def run(
    *,
    id: Annotated[int, Argument("The job's id.", "ID")],
    place: Place,
    json: Json = False,
) -> None:
    """Show all about one job, and why it is not running.

    Example: prokerja report:job 12
    """
    now = time.time()
    with Queue.of(place, create=False) as queue:
        detail = queue.detail(id)
    if json:
        print_json(report.detail_json(detail))
    else:
        _show(detail, now)


def _show(detail: Detail, now: float) -> None:
    record = detail.record
    print(f"job {record.id}: {record.lane.name}, {record.status.value}")
    for label, text in (*_asked(detail, now), *_stands(detail, now)):
        if text is not None:
            line(label, text)
    for step in detail.steps:
        print(f"step {escaped(step.name)}: done {iso(step.done_at)}")
    for attempt in detail.attempts:
        _show_attempt(attempt)


def _asked(detail: Detail, now: float) -> Iterator[tuple[str, str | None]]:
    """What was asked for; None for what was not."""
    record, lane = detail.record, detail.record.lane
    yield "queue", f"{lane.queue}, priority {lane.priority}"
    yield "jobs", lane.directory or "of any directory"
    yield "declared", f"{iso(record.declared_at)} ({_from_now(record.declared_at, now)})"
    yield "due", iso(record.due_at)
    if record.status is Status.PENDING and detail.expires_at is not None:
        yield "expires", iso(detail.expires_at)
    yield "label", record.label
    yield "about", record.description
    yield "batch", record.batch
    if detail.parents:
        yield "after", ", ".join(map(_parent, detail.parents[:MAX_PARENTS])) + _more(detail)
    yield "command", report.command_of(record)
    yield "payload", record.payload
    first = f"{record.retries}, the first after {human(record.retry_after)}"
    yield "retries", first if record.retries else "none"
    yield "time limit", "none" if record.timeout is None else human(record.timeout)
    if lane.flow is not None:
        yield from _flow(lane.flow)


def _flow(flow: Flow) -> Iterator[tuple[str, str | None]]:
    """What it is subject to beside its queue."""
    from prokerja.flow import rates, resources

    if flow.max_running:
        yield "limit", f"{flow.max_running:,} at once for {quoted(flow.limit_key)}"
    if flow.max_starts:
        rate = rates.human(Rate(flow.max_starts, flow.rate_seconds))
        yield "rate", f"{rate} for {quoted(flow.rate_key)}"
    if flow.needs:
        yield "needs", resources.human(dict(flow.needs))
    if flow.fair_key:
        yield "turns", f"with other keys than {quoted(flow.fair_key)}"


def _stands(detail: Detail, now: float) -> Iterator[tuple[str, str | None]]:
    """What has come of it so far; None for what has not."""
    record = detail.record
    yield "result", brief(detail.cut.beginning) if detail.cut else record.result
    if record.awaiting is not None:
        yield "awaiting", _wait(record.awaiting, now)
    yield "not running", detail.why
    is_running = record.status is Status.PROCESSING and record.started_at is not None
    if is_running and detail.why is None:
        yield "running", f"for {human(now - record.started_at)}"  # type: ignore[operator]
    if record.progress is not None:
        ago = human(max(now - record.progress.reported_at, 0.0))
        yield "progress", f"{report.progress_of(record)}, {ago} ago"
    if not detail.is_told:
        yield "hooks", "a worker has yet to run those that hear of its end"
    if detail.stopping is not None:
        yield "stopping", f"its worker has yet to end it: {detail.stopping}"


def _parent(parent: Parent) -> str:
    return f"job {parent.id} ({'purged' if parent.status is None else parent.status})"


def _more(detail: Detail) -> str:
    others = len(detail.parents) - MAX_PARENTS
    return f" and {others:,} more" if others > 0 else ""


def _show_attempt(attempt: Attempt) -> None:
    began = "not started" if attempt.started_at is None else iso(attempt.started_at)
    end = attempt.error or "completed"
    if attempt.exit_code and not attempt.error:
        end = f"completed with exit code {attempt.exit_code}"
    if attempt.cut_bytes is not None:
        kept = f"its result has {attempt.cut_bytes:,} bytes, of which {MAX_RESULT_BYTES:,} are kept"
        end = f"{end}; {kept}"
    took = human(attempt.finished_at - (attempt.started_at or attempt.finished_at))
    used = "" if attempt.cost is None else _used(attempt.cost)
    print(f"attempt {attempt.number}: {began}, took {took}{used}: {escaped(end)}")
    for row in (attempt.traceback or "").splitlines():
        print(f"    {escaped(row)}")


def _used(cost: Cost) -> str:
    cpu = "" if cost.cpu_seconds is None else f", {human(cost.cpu_seconds)} of CPU"
    return cpu if cost.peak_bytes is None else f"{cpu}, peak {sizes.human(cost.peak_bytes)}"


def _wait(awaiting: Awaiting, now: float) -> str:
    since, until = awaiting
    limit = "" if until is None else f", until {iso(until)} ({_from_now(until, now)})"
    return f"since {iso(since)} ({_from_now(since, now)}){limit}"


def _from_now(moment: float, now: float) -> str:
    return f"{human(now - moment)} ago" if moment <= now else f"in {human(moment - now)}"


def line(label: str, text: str) -> None:
    """One fact."""
    print(f"  {label + ':':<12} {escaped(text)}")
