"""`prokerja queue:list`: every queue, and what people have said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import report
from prokerja.commands import Json, Place
from prokerja.console import hint, on_terminal, print_fields, print_json, print_table
from prokerja.flow.rates import human
from prokerja.queue import Queue
from prokerja.times import iso, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.report import QueueState

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
        return
    queues = report.queues_of(summary)
    if on_terminal():
        told = (_row(one, lambda at: short(at, summary.now)) for one in queues)
        rows = [(name or "(all)", *cells) for name, *cells in told]
        if rows:
            print_table(COLUMNS, rows, right=NUMBERS, long=("queue", "paused by", "why"))
        else:
            hint("No queue has jobs, or a limit, a rate or a pause.")
    else:
        print_fields(_row(one, iso) for one in queues)


def _row(state: QueueState, when: Callable[[float], str]) -> tuple[str, ...]:
    """The cells of a queue; its name is empty for what is said of all."""
    (name, most, rate, *_), tally, pause = state.rule, state.tally, state.pause
    counts = (f"{tally.pending}", f"{tally.processing}") if name else ("", "")
    terms = ("" if most is None else str(most), "" if rate is None else human(rate))
    if pause is None:
        return (name, *counts, *terms, "", "", "", "")
    moments = (pause.paused_at, pause.paused_until)
    since, until = ("" if at is None else when(at) for at in moments)
    return (name, *counts, *terms, pause.paused_by or "", since, until, pause.paused_why or "")
