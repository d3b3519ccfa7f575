"""`prokerja report:jobs`: a list of jobs, newest first."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja import report
from prokerja.commandline import Option
from prokerja.commands import BatchOption, Json, Number, Place, QueueOption
from prokerja.console import hint, on_terminal, print_fields, print_json, print_table
from prokerja.errors import BadOption, RequestError
from prokerja.model.declaration import Status
from prokerja.model.record import Filter
from prokerja.queue import Queue
from prokerja.terms import DEFAULTS
from prokerja.text import escaped, quoted
from prokerja.times import duration, iso, moment, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.model.record import Record

USUAL = ("id", "job", "queue", "status", "attempts", "declared", "error", "what")
MORE = ("priority", "due", "started", "finished", "label", "batch", "progress")
AT_TERMINAL = ("id", "job", "queue", "status", "progress", "attempts", "declared", "error", "what")
LONG = ("job", "queue", "error", "what", "label", "batch", "progress")
COUNTS = ("id", "attempts", "priority")
MOMENTS = ("declared", "due", "started", "finished")
BAR_WIDTH = 8
"""Columns for the bar of a job's progress."""
Cells = dict[str, Any]


def run(
    *,
    status: Annotated[
        str | None, Option("Only pending, processing, completed or failed ones.", metavar="STATUS")
    ] = None,
    queue: QueueOption = None,
    job: Annotated[str | None, Option("Only jobs of this name.", metavar="NAME")] = None,
    label: Annotated[str | None, Option("Only those with this label.", metavar="TEXT")] = None,
    batch: BatchOption = None,
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
    sort: Annotated[
        str | None, Option("Sort those listed by this column, the least first.", metavar="COLUMN")
    ] = None,
    reverse: Annotated[bool, Option("The other way round: the oldest first.")] = False,
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

    Example: prokerja report:jobs --status failed --since 2h
    """
    if limit < 1:
        raise BadOption(f"--limit: {limit} is too few; give 1 or more")
    if columns is not None and (ids or json):
        raise RequestError("--columns goes with a table or --csv; leave out --ids or --json")
    if ids + csv + json > 1:
        raise RequestError("--ids, --csv and --json cannot be combined; use one")
    now = time.time()
    shown = (
        USUAL
        if columns is None
        else columns_of([one.strip() for one in columns.split(",")], "--columns")
    )
    [column] = (None,) if sort is None else columns_of([sort], "--sort")
    wanted = Filter(
        None if status is None else status_of(status), queue, job, label,
        moment_of(since, "--since", now), moment_of(until, "--until", now), error, batch,
    )  # fmt: skip
    with Queue.of(place, create=False) as source:
        records = _ordered(source.newest(wanted, limit), column, reverse=reverse)
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
    if shown is USUAL:
        shown = AT_TERMINAL
        if all(record.lane.queue == DEFAULTS["queue"] for record in records):
            shown = [name for name in shown if name != "queue"]
    rows = [_row(record, shown, lambda at: short(at, now)) for record in records]
    if "progress" in shown and any(record.progress for record in records):
        rows = [_with_bar(record, row, shown) for record, row in zip(records, rows, strict=True)]
    print_table(shown, rows, right=COUNTS, long=LONG)


def _with_bar(record: Record, row: tuple[str, ...], shown: Sequence[str]) -> tuple[str, ...]:
    """The row, with a bar before its progress if the job knows what there is to do."""
    from prokerja.console.bars import bar

    if record.progress is None or record.progress.part is None:
        return row
    drawn = bar(
        record.progress.part, BAR_WIDTH, ascii_only=not sys.stdout.encoding.startswith("utf")
    )
    return tuple(
        f"{drawn} {cell}" if name == "progress" else cell
        for name, cell in zip(shown, row, strict=True)
    )


def _row(record: Record, shown: Sequence[str], when: Callable[[float], str]) -> tuple[str, ...]:
    facts = _facts(record)
    facts |= {name: when(facts[name]) for name in MOMENTS if facts[name] is not None}
    return tuple("" if facts[name] is None else str(facts[name]) for name in shown)


def _ordered(records: list[Record], column: str | None, *, reverse: bool) -> list[Record]:
    """As they are, or sorted by a column, or either the other way round."""
    if column is not None:
        records.sort(key=lambda record: _rank(record, column))
    return records[::-1] if reverse else records


def _rank(record: Record, column: str) -> tuple[bool, Any]:
    """Where a job goes in a list that is sorted; what has nothing there comes last."""
    value = _facts(record)[column]
    nothing: Any = 0 if column in (*COUNTS, *MOMENTS) else ""
    return value in (None, ""), value or nothing


def _facts(record: Record) -> Cells:
    """What each column can show of a job."""
    facts: Cells = report.record_json(record)
    facts |= {name: getattr(record, f"{name}_at") for name in MOMENTS}
    facts["error"] = (facts["error"] or "").partition("\n")[0]
    if record.suspended_at is not None:
        facts["status"] += " (suspended)"
    facts["what"] = report.what_of(record)
    facts["progress"] = report.progress_of(record)
    return facts


def print_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows for spreadsheets and programs, after a line with the names of the columns."""
    import csv

    cells = (map(escaped, row) for row in rows)
    csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *cells])


def columns_of(names: Sequence[str], flag: str) -> tuple[str, ...]:
    """The names, if all are those of columns; raises BadOption."""
    for name in names:
        if name not in (*USUAL, *MORE):
            known = ", ".join((*USUAL, *MORE))
            raise BadOption(f"{flag}: {quoted(name)} is none of {known}")
    return tuple(names)


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
