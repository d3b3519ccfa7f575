"""`prokerja report`: how many jobs stand where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from prokerja import report
from prokerja.commandline import Option
from prokerja.commands import BatchOption, Json, Place, QueueOption
from prokerja.console import on_terminal, print_json, print_table, say
from prokerja.errors import BadOption, RequestError
from prokerja.extras import insist_on
from prokerja.queue import Queue
from prokerja.text import escaped
from prokerja.times import human

if TYPE_CHECKING:
    from prokerja.model.flow import QueueRule
    from prokerja.model.record import Condition
    from prokerja.model.summary import Summary, Tally

TITLE = "ProKerja Report"


def run(
    *,
    queue: QueueOption = None,
    batch: BatchOption = None,
    why: Annotated[
        int | None, Option("Say what has to be so for this job to run, and is.", metavar="ID")
    ] = None,
    prometheus: Annotated[bool, Option("Print metrics in the format of Prometheus.")] = False,
    textfile: Annotated[
        str | None,
        Option(
            "Write metrics to this file, for node_exporter; it is replaced as a whole.",
            metavar="PATH",
        ),
    ] = None,
    watch: Annotated[bool, Option("Keep showing counts and what runs; q quits.")] = False,
    plain: Annotated[bool, Option("Print one line per second instead, for logs.")] = False,
    place: Place,
    json: Json = False,
) -> None:
    """Count jobs by status.

    Example: prokerja report --why 12
    """
    if json + (prometheus or textfile is not None) + (watch or plain) > 1:
        raise RequestError("--json, --prometheus, --watch and --plain cannot be combined; use one")
    is_plain = not (prometheus or textfile is not None or watch or plain)
    if not is_plain and (batch is not None or why is not None):
        raise RequestError("--batch and --why go with the report alone; leave out the others")
    if why is not None and (batch is not None or queue is not None):
        raise RequestError("--why is about one job; leave out --queue and --batch")
    with Queue.of(place, create=False) as source:
        if why is not None:
            show_conditions(why, source.why(why), json=json)
            return
        if watch or plain:
            from prokerja.console.watching import watch_lines, watch_screen

            look = watch_lines if plain or not on_terminal() else watch_screen
            look(source, queue)
            return
        if prometheus or textfile is not None:
            tell_prometheus(source, queue, textfile)
            return
        summary = source.summary(queue, batch)
    if json:
        print_json(report.summary_json(summary))
    elif on_terminal():
        _show(summary)
    else:
        _print(summary)


def show_conditions(id: int, conditions: list[Condition], *, json: bool) -> None:
    """Print what has to be so for a job to be claimed, and what of it is."""
    if json:
        print_json({"id": id, "conditions": [report.condition_json(one) for one in conditions]})
        return
    for one in conditions:
        answer = "?" if one.holds is None else "yes" if one.holds else "no"
        print(f"{answer:<4} {one.name}{f': {escaped(one.detail)}' if one.detail else ''}")


def tell_prometheus(source: Queue, queue: str | None, path: str | None) -> None:
    """Print the metrics of a queue, or of all, or write them into a file.

    A file is replaced as a whole, so what is there must be one, and no device.
    """
    if path is not None:
        path = os.path.realpath(path)
        if os.path.exists(path) and not os.path.isfile(path):
            raise BadOption(f"--textfile: {path} is not a file; name one")
    insist_on("prometheus_client", "metrics", "--prometheus" if path is None else "--textfile")
    from prokerja.console import metrics

    found = source.metrics(queue)
    if path is None:
        print(metrics.exposition(found), end="")
    else:
        try:
            metrics.write(found, path)
        except OSError as error:
            error.filename = path  # not that of the temporary file
            raise


def _paused(pause: QueueRule) -> str:
    from prokerja.flow.pauses import resuming, sentence_with_end

    return escaped(f"{sentence_with_end(pause)}; `{resuming(pause)}` ends that")


def _print(summary: Summary) -> None:
    """The lines that programs read, and no other on stdout."""
    for pause in summary.paused:
        say(_paused(pause))
    for note in report.notes_of(summary):
        say(escaped(note))
    print(TITLE)
    for status, count in summary.total.counts().items():
        print(f"{status}: {count}")


def _show(summary: Summary) -> None:
    print(TITLE)
    for pause in summary.paused:
        print(_paused(pause))
    for note in report.notes_of(summary):
        print(escaped(note))
    total = summary.total.counts()
    several = len(summary.queues) > 1
    rows = [(tally.queue, *cells(tally)) for tally in summary.queues]
    if several:
        rows.append(("all", *cells(summary.total)))
        print_table(("queue", *total), rows, right=tuple(total))
    else:
        rows = [*zip(total, cells(summary.total), strict=True)]
        print_table(("status", "jobs"), rows, right=("jobs",))
    if summary.waiting_since is not None:
        print(f"oldest due job: waiting for {human(summary.now - summary.waiting_since)}")
    print(f"workers alive: {len(summary.workers)}")


def cells(tally: Tally) -> list[str]:
    """The counts of each status, and how many of those that are processing await something."""
    counts = [f"{count:,}" for count in tally.counts().values()]
    if tally.awaiting:
        counts[1] += f" ({tally.awaiting:,} awaiting)"
    return counts
