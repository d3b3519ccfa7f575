"""`prokerja wait`: block until jobs have ended."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Duration, Json, Place
from prokerja.console import print_json
from prokerja.errors import NotFound, RequestError
from prokerja.model.declaration import Status
from prokerja.queue import Queue
from prokerja.times import duration
from prokerja.waiting import exit_code


def run(
    *,
    ids: Annotated[list[int], Argument("The jobs to wait for.", "[ID]...")] = [],  # noqa: B006
    queue: Annotated[
        str | None, Option("For all of this queue that have not ended yet.", metavar="QUEUE")
    ] = None,
    label: Annotated[
        str | None, Option("For all with this label that have not ended yet.", metavar="TEXT")
    ] = None,
    batch: Annotated[
        str | None, Option("For all of this batch, those that have ended too.", metavar="NAME")
    ] = None,
    timeout: Annotated[str | None, Option("Wait no longer than this.", metavar=Duration)] = None,
    any: Annotated[bool, Option("Until one of them has ended; prints its id.")] = False,
    place: Place,
    json: Json = False,
) -> int:
    """Wait until jobs have ended.

    Exit code 0 if all completed, 1 if one failed, 2 if one is not there, 124 if the time ran
    out. For a single command it is the command's own, and 128 more than the number of a signal
    that killed it.

    Example: prokerja wait 12 13 --timeout 10m
    """
    named = queue is not None or label is not None
    if (batch is not None) + named + bool(ids) != 1:
        raise RequestError("say what to wait for: ids, --batch, or --queue or --label")
    limit = None if timeout is None else duration(timeout, "--timeout")
    if batch is not None and not any:
        with Queue.of(place, create=False) as source:
            try:
                counts = source.wait_for_batch(batch, limit)
            except NotFound as error:
                raise RequestError(str(error)) from None
        if json:
            print_json({"batch": batch, **counts})
        return int(counts["failed"] > 0)
    named = named or batch is not None
    with Queue.of(place, create=False) as source:
        try:
            states = source.wait(
                source.open_ids(queue, label, batch) if named else ids, limit, any=any
            )
        except NotFound as error:  # 1 would say that the job has failed
            raise RequestError(str(error)) from None
        code = exit_code(source.detail(*states)) if len(states) == 1 and not named else None
    if json:
        print_json({str(id): state.value for id, state in states.items()})
    elif any:
        print(*states, sep="\n")
    return int(Status.FAILED in states.values()) if code is None else code
