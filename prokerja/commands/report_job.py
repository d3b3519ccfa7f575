"""`prokerja report:job`: everything about one job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from prokerja import report
from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import print_json
from prokerja.model.declaration import Status
from prokerja.queue import Queue
from prokerja.text import escaped
from prokerja.times import human, iso

if TYPE_CHECKING:
    from prokerja.model.record import Attempt, Detail


def run(
    *,
    id: Annotated[int, Argument("The job's id.", "ID")],
    place: Place,
    json: Json = False,
) -> None:
    """Show all about one job, and why it is not running."""
    now = time.time()
    with Queue.of(place, create=False) as queue:
        detail = queue.find(id)
    if json:
        print_json(report.detail_json(detail))
    else:
        _show(detail, now)


def _show(detail: Detail, now: float) -> None:
    record, attempts, why, stopping = detail
    lane = record.lane
    print(f"job {record.id}: {lane.name}, {record.status.value}")
    line("queue", f"{lane.queue}, priority {lane.priority}")
    line("jobs", lane.directory or "of any directory")
    line("declared", f"{iso(record.declared_at)} ({_from_now(record.declared_at, now)})")
    line("due", iso(record.due_at))
    if record.label is not None:
        line("label", record.label)
    if command := report.command_of(record):
        line("command", command)
    line("payload", record.payload)
    first = f"{record.retries}, the first after {human(record.retry_after)}"
    line("retries", first if record.retries else "none")
    line("time limit", "none" if record.timeout is None else human(record.timeout))
    if record.result is not None:
        line("result", record.result)
    if why is not None:
        line("not running", why)
    elif record.status is Status.PROCESSING and record.started_at is not None:
        line("running", f"for {human(now - record.started_at)}")
    if stopping is not None:
        line("stopping", f"its worker has yet to end it: {stopping}")
    for attempt in attempts:
        _show_attempt(attempt)


def _show_attempt(attempt: Attempt) -> None:
    began = "not started" if attempt.started_at is None else iso(attempt.started_at)
    end = attempt.error or "completed"
    if attempt.exit_code and not attempt.error:
        end = f"completed with exit code {attempt.exit_code}"
    took = human(attempt.finished_at - (attempt.started_at or attempt.finished_at))
    print(f"attempt {attempt.number}: {began}, took {took}: {escaped(end)}")
    for row in (attempt.traceback or "").splitlines():
        print(f"    {escaped(row)}")


def _from_now(moment: float, now: float) -> str:
    return f"{human(now - moment)} ago" if moment <= now else f"in {human(moment - now)}"


def line(label: str, text: str) -> None:
    """One fact."""
    print(f"  {label + ':':<12} {escaped(text)}")
