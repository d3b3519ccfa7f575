"""`prokerja retry`: give failed jobs a fresh start, and pending ones no more delay."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.errors import RequestError
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[
        list[int], Argument("Failed jobs, or pending ones that are not due yet.", "[ID]...")
    ] = [],  # noqa: B006
    failed: Annotated[bool, Option("All failed jobs.")] = False,
    queue: Annotated[str | None, Option("With --failed: of this queue.", metavar="QUEUE")] = None,
    job: Annotated[str | None, Option("With --failed: of this name.", metavar="NAME")] = None,
    place: Place,
    json: Json = False,
) -> None:
    """Give failed jobs a fresh start; make pending ones due now.

    Example: prokerja retry 12
    """
    if ids and failed:
        raise RequestError("give either ids or --failed, not both")
    if not (ids or failed):
        raise RequestError("say which jobs to retry: ids, or --failed for all that have failed")
    if ids and (queue is not None or job is not None):
        raise RequestError("--queue and --job go with --failed; leave them out with ids")
    with Queue.of(place, create=False) as source:
        if failed:
            count = source.retry_failed(queue, job)
        else:
            source.retry(*ids)
            count = len(set(ids))
    print_json({"retried": count}) if json else print(count)
    hint(f"Put {plural(count, 'job')} back; due now.")
