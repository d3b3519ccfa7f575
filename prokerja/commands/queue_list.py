"""`prokerja queue:list`: every queue, and what people have said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import report
from prokerja.commands import Json, Place
from prokerja.console import hint, on_terminal, print_fields, print_json, print_table
from prokerja.pauses import ALL_QUEUES, pause_of
from prokerja.queue import Queue
from prokerja.rates import human
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.summary import Summary

COLUMNS = (
    "queue", "pending", "processing", "limit", "rate", "paused by", "since", "until", "why",
)  # fmt: skip
NUMBERS = ("pending", "processing", "limit")


def run(
    *,
    place: Place,
    json: Json = False,
) -> None:
    """List every queue that has jobs, or a limit, a rate or a pause.

    Example: prokerja queue:list
    """
    with Queue.of(place, create=False) as source:
        summary = source.summary()
    if json:
        print_json(report.queues_json(summary))
    elif on_terminal():
        rows = [(row[0] or "(all)", *row[1:]) for row in _rows(summary)]
        if rows:
            print_table(COLUMNS, rows, right=NUMBERS, long=("queue", "why"))
        else:
            hint("No queue has jobs, or a limit, a rate or a pause.")
    else:
        print_fields(_rows(summary))


def _rows(summary: Summary) -> Iterator[tuple[str, ...]]:
    """The cells of each queue; its name is empty for what is said of all."""
    rules = {rule.name: rule for rule in summary.rules}
    for name, tally in report.queues_of(summary):
        rule, pause = rules.get(name), pause_of(rules, name, summary.now)
        said = ("", "", "", "")
        if pause is not None:
            since, until = (
                "" if at is None else iso(at) for at in (pause.paused_at, pause.paused_until)
            )
            said = (pause.paused_by or "", since, until, pause.paused_why or "")
        counts = ("", "") if name == ALL_QUEUES else (f"{tally.pending}", f"{tally.processing}")
        limit = "" if rule is None or rule.max_running is None else str(rule.max_running)
        rate = "" if rule is None or rule.rate is None else human(rule.rate)
        yield (name, *counts, limit, rate, *said)
