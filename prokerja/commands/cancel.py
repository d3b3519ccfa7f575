"""`prokerja cancel`: end jobs that have not ended."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.errors import RequestError
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[list[int], Argument("Jobs that have not ended.", "[ID]...")] = [],  # noqa: B006
    queue: Annotated[str | None, Option("All of this queue.", metavar="QUEUE")] = None,
    job: Annotated[str | None, Option("All of this name.", metavar="NAME")] = None,
    label: Annotated[str | None, Option("All with this label.", metavar="TEXT")] = None,
    batch: Annotated[str | None, Option("All of this batch.", metavar="NAME")] = None,
    why: Annotated[str | None, Option("The reason, kept with the job.", metavar="TEXT")] = None,
    place: Place,
    json: Json = False,
) -> None:
    """End jobs that have not ended, running ones too; they fail, and are not retried.

    A running one is told to end (TERM), with all it has started, and killed if it does not. One
    that ends by itself in that moment may have completed.

    Example: prokerja cancel 12 --why 'wrong file'
    """
    is_filtered = any(one is not None for one in (queue, job, label, batch))
    if is_filtered and ids:
        raise RequestError("give either ids or --queue, --job, --label and --batch, not both")
    if not (is_filtered or ids):
        raise RequestError("say which jobs to cancel: ids, or --queue, --job, --label or --batch")
    with Queue.of(place, create=False) as source:
        if ids:
            count, running = len(set(ids)), source.cancel(*ids, why=why)
        else:
            count, running = source.cancel_matching(queue, job, label, batch, why)
    print_json({"cancelled": count, "running": running}) if json else print(count)
    stopped = f"; {plural(running, 'job')} will be stopped by their workers" if running else ""
    hint(f"Cancelled {plural(count, 'job')}{stopped}.")
