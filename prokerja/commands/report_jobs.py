"""`prokerja report:jobs`: a list of jobs, newest first."""

from __future__ import annotations

import time
from typing import Annotated

from prokerja import report
from prokerja.commandline import Option
from prokerja.commands import Db, Json, QueueOption
from prokerja.console import print_json, print_table
from prokerja.errors import BadOption
from prokerja.model import Status
from prokerja.repository import Repository
from prokerja.settings import settings
from prokerja.times import shown, words

COLUMNS = ("id", "job", "queue", "status", "attempts", "declared", "error")


def run(
    *,
    status: Annotated[
        str | None, Option("Only pending, processing, completed or failed ones.", metavar="STATUS")
    ] = None,
    queue: QueueOption = None,
    job: Annotated[str | None, Option("Only jobs of this name.", metavar="NAME")] = None,
    limit: Annotated[int, Option("At most so many.")] = 20,
    db: Db = None,
    json: Json = False,
) -> None:
    """List jobs, newest first: finished ones by their end, others by their id."""
    if limit < 1:
        raise BadOption(f"--limit: {limit} is too few; give 1 or more")
    wanted = None if status is None else status_of(status)
    repository = Repository(settings(db).db, create=False)
    with repository.database.reading():
        records = repository.history.newest(wanted, queue, job, limit)
    if json:
        print_json([report.record_json(record) for record in records])
        return
    now = time.time()
    rows = []
    for record in records:
        facts = report.record_json(record)
        ago = f"{words(now - record.declared_at)} ago"
        error = (facts["error"] or "").splitlines()[:1]
        row = (record.id, record.lane.name, record.lane.queue, record.status, record.attempts)
        rows.append((*map(str, row), ago, *(error or [""])))
    print_table(COLUMNS, rows, right=("id", "attempts"))


def status_of(text: str) -> Status:
    """The status of that name; raises BadOption."""
    try:
        return Status(text)
    except ValueError:
        raise BadOption(f"--status: {shown(text)} is none of {', '.join(Status)}") from None
