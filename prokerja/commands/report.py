"""`prokerja report`: how many jobs stand where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import report
from prokerja.commands import Json, Place, QueueOption
from prokerja.console import on_terminal, print_json, print_table
from prokerja.queue import Queue
from prokerja.times import human

if TYPE_CHECKING:
    from prokerja.model.summary import Summary

TITLE = "ProKerja Report"


def run(*, queue: QueueOption = None, place: Place, json: Json = False) -> None:
    """Count jobs by status."""
    with Queue.of(place, create=False) as source:
        summary = source.summary(queue)
    if json:
        print_json(report.summary_json(summary))
    elif on_terminal():
        _show(summary)
    else:
        print(TITLE)
        for status, count in summary.total.counts().items():
            print(f"{status}: {count}")


def _show(summary: Summary) -> None:
    print(TITLE)
    total = summary.total.counts()
    several = len(summary.queues) > 1
    rows = [(tally.queue, *_cells(tally.counts())) for tally in summary.queues]
    if several:
        rows.append(("all", *_cells(total)))
        print_table(("queue", *total), rows, right=tuple(total))
    else:
        print_table(("status", "jobs"), [(s, f"{n:,}") for s, n in total.items()], right=("jobs",))
    if summary.waiting_since is not None:
        print(f"oldest due job: waiting for {human(summary.now - summary.waiting_since)}")
    print(f"workers alive: {len(summary.workers)}")


def _cells(counts: dict[str, int]) -> list[str]:
    return [f"{count:,}" for count in counts.values()]
