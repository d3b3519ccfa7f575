"""`prokerja report:jobs`: a list of jobs, newest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from prokerja import report
from prokerja.commandline import Option
from prokerja.commands import Json, Number, Place, QueueOption
from prokerja.console import on_terminal, print_fields, print_json, print_table
from prokerja.errors import BadOption
from prokerja.model import Status
from prokerja.queue import Queue
from prokerja.text import quoted
from prokerja.times import human, iso

if TYPE_CHECKING:
    from prokerja.model import Record

COLUMNS = ("id", "job", "queue", "status", "attempts", "declared", "error", "what")


def run(
    *,
    status: Annotated[
        str | None, Option("Only pending, processing, completed or failed ones.", metavar="STATUS")
    ] = None,
    queue: QueueOption = None,
    job: Annotated[str | None, Option("Only jobs of this name.", metavar="NAME")] = None,
    limit: Annotated[int, Option("How many to list; default: 20.", metavar=Number)] = 20,
    place: Place,
    json: Json = False,
) -> None:
    """List what has been declared, newest first.

    With --status completed or failed, that is by their end; otherwise by their id.
    """
    if limit < 1:
        raise BadOption(f"--limit: {limit} is too few; give 1 or more")
    wanted = None if status is None else status_of(status)
    with Queue.of(place, create=False) as source:
        records = source.newest(wanted, queue, job, limit)
    if json:
        print_json([report.record_json(record) for record in records])
    elif on_terminal():
        now = time.time()
        rows = [_row(record, f"{human(now - record.declared_at)} ago") for record in records]
        print_table(COLUMNS, rows, right=("id", "attempts"))
    else:
        print_fields(_row(record, iso(record.declared_at)) for record in records)


def _row(record: Record, declared: str) -> tuple[str, ...]:
    facts = report.record_json(record)
    error = (facts["error"] or "").splitlines() or [""]
    columns = (facts[key] for key in ("id", "job", "queue", "status", "attempts"))
    what = facts["label"] or facts["command"] or ""
    return (*map(str, columns), declared, error[0], what)


def status_of(text: str) -> Status:
    """The status of that name; raises BadOption."""
    try:
        return Status(text)
    except ValueError:
        raise BadOption(f"--status: {quoted(text)} is none of {', '.join(Status)}") from None
