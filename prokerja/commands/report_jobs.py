"""`prokerja report:jobs`: a list of jobs, newest first."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja import report
from prokerja.commandline import Option
from prokerja.commands import Json, Number, Place, QueueOption
from prokerja.console import hint, on_terminal, print_fields, print_json, print_table
from prokerja.errors import BadOption, RequestError
from prokerja.model import Filter, Status
from prokerja.queue import Queue
from prokerja.terms import DEFAULTS
from prokerja.text import escaped, quoted
from prokerja.times import duration, human, iso, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.model import Record

USUAL = ("id", "job", "queue", "status", "attempts", "declared", "error", "what")
MORE = ("priority", "due", "started", "finished", "label")
Cells = dict[str, Any]
FAR_SECONDS = 30 * 86400.0
"""From here on a list at a terminal shows the day."""


def run(
    *,
    status: Annotated[
        str | None, Option("Only pending, processing, completed or failed ones.", metavar="STATUS")
    ] = None,
    queue: QueueOption = None,
    job: Annotated[str | None, Option("Only jobs of this name.", metavar="NAME")] = None,
    label: Annotated[str | None, Option("Only those with this label.", metavar="TEXT")] = None,
    since: Annotated[
        str | None, Option("Only those declared since then, such as 2h ago.", metavar="TIME")
    ] = None,
    until: Annotated[str | None, Option("Only those declared before then.", metavar="TIME")] = None,
    error: Annotated[
        str | None,
        Option(
            "Only those whose last error contains this; looks at the latest 50,000.", metavar="TEXT"
        ),
    ] = None,
    limit: Annotated[int, Option("How many to list; default: 20.", metavar=Number)] = 20,
    reverse: Annotated[bool, Option("The oldest of them first.")] = False,
    columns: Annotated[
        str | None, Option(f"Which, in which order: {', '.join((*USUAL, *MORE))}.", metavar="NAMES")
    ] = None,
    ids: Annotated[bool, Option("Print the ids alone, one a line.")] = False,
    csv: Annotated[bool, Option("Answer in CSV, with a line of names.")] = False,
    place: Place,
    json: Json = False,
) -> None:
    """List what has been declared, newest first.

    With --status completed or failed, that is by their end; otherwise by their id.
    """
    if limit < 1:
        raise BadOption(f"--limit: {limit} is too few; give 1 or more")
    if ids + csv + json > 1:
        raise RequestError("--ids, --csv and --json are three answers; use one")
    now = time.time()
    shown = USUAL if columns is None else columns_of(columns)
    wanted = Filter(
        None if status is None else status_of(status), queue, job, label,
        moment_of(since, "--since", now), moment_of(until, "--until", now), error,
    )  # fmt: skip
    with Queue.of(place, create=False) as source:
        records = source.newest(wanted, limit)
    if reverse:
        records.reverse()
    if ids:
        sys.stdout.writelines(f"{record.id}\n" for record in records)
    elif json:
        print_json([report.record_json(record) for record in records])
    elif csv:
        print_csv(shown, [_row(record, shown, iso) for record in records])
    elif on_terminal():
        _show(records, shown, now)
        if not records:
            hint(
                "No job matches."
                if any(wanted)
                else "No job is known: `prokerja declare:job` declares one."
            )
    else:
        print_fields(_row(record, shown, iso) for record in records)


def _show(records: Sequence[Record], shown: Sequence[str], now: float) -> None:
    if not records:
        return
    if shown is USUAL and all(record.lane.queue == DEFAULTS["queue"] for record in records):
        shown = [name for name in shown if name != "queue"]
    rows = [_row(record, shown, lambda at: _short(at, now)) for record in records]
    right = ("id", "attempts", "priority")
    print_table(shown, rows, right=right, long=("error", "what", "label"))


def _short(at: float, now: float) -> str:
    """A moment in a few letters: `39s ago`, `in 2h`, or the day if it is far away."""
    distance = abs(now - at)
    if distance > FAR_SECONDS:
        return iso(at)[:10]
    largest = human(max(distance, 10)).split()[0] if distance >= 10 else f"{int(distance)}s"
    return f"{largest} ago" if at <= now else f"in {largest}"


def _row(record: Record, shown: Sequence[str], when: Callable[[float], str]) -> tuple[str, ...]:
    facts: Cells = report.record_json(record)
    moments = {
        "declared": record.declared_at, "due": record.due_at,
        "started": record.started_at, "finished": record.finished_at,
    }  # fmt: skip
    facts |= {name: "" if at is None else when(at) for name, at in moments.items()}
    facts["error"] = (facts["error"] or "").partition("\n")[0]
    facts["label"] = facts["label"] or ""
    facts["what"] = facts["label"] or facts["command"] or ""
    return tuple(str(facts[name]) for name in shown)


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows for spreadsheets and programs, after a line with the names of the columns."""
    import csv

    cells = (map(escaped, row) for row in rows)
    csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *cells])


def columns_of(text: str) -> tuple[str, ...]:
    """The columns of these names; raises BadOption."""
    names = tuple(text.split(","))
    for name in names:
        if name not in (*USUAL, *MORE):
            known = ", ".join((*USUAL, *MORE))
            raise BadOption(f"--columns: {quoted(name)} is none of {known}")
    return names


def moment_of(text: str | None, flag: str, now: float) -> float | None:
    """The time that a text names, or a duration before now; raises BadOption."""
    if text is None:
        return None
    try:
        return now - duration(text, flag)
    except BadOption:
        return moment(text, flag)


def status_of(text: str) -> Status:
    """The status of that name; raises BadOption."""
    try:
        return Status(text)
    except ValueError:
        raise BadOption(f"--status: {quoted(text)} is none of {', '.join(Status)}") from None
