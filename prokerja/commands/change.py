"""`prokerja change`: change pending jobs before they run."""

from __future__ import annotations

from typing import Annotated, Any

from prokerja.commandline import Argument, Option
from prokerja.commandline.input import expiry
from prokerja.commands import Duration, Json, Number, Place
from prokerja.console import hint, plural, print_json
from prokerja.errors import BadOption, RequestError
from prokerja.queue import Queue
from prokerja.times import duration, moment

NONE = "none"


def run(
    *,
    ids: Annotated[list[int], Argument("Pending jobs.", "ID...")],
    queue: Annotated[str | None, Option("The queue to move to.", metavar="QUEUE")] = None,
    priority: Annotated[int | None, Option("Higher goes first.", metavar=Number)] = None,
    delay: Annotated[
        str | None, Option("Run after this much time from now.", ("--in",), metavar=Duration)
    ] = None,
    at: Annotated[str | None, Option("Run at this time instead.", metavar="TIME")] = None,
    retries: Annotated[
        int | None, Option("More attempts after the first.", metavar=Number)
    ] = None,
    retry_after: Annotated[
        str | None, Option("Wait before the second attempt; then it doubles.", metavar=Duration)
    ] = None,
    timeout: Annotated[
        str | None, Option("Stop if it runs longer than this; `none` for no limit.",
                           metavar=Duration)
    ] = None,
    label: Annotated[
        str | None, Option("What to call it in lists; empty for nothing.", metavar="TEXT")
    ] = None,
    batch: Annotated[
        str | None, Option("The batch to move to; empty for none.", metavar="NAME")
    ] = None,
    expires: Annotated[
        str | None,
        Option("It fails if it has not been started by then.", metavar="DURATION|TIME"),
    ] = None,
    place: Place,
    json: Json = False,
) -> None:  # fmt: skip
    """Change pending jobs, all or none; what a worker has taken is not changed.

    Example: prokerja change 12 --queue slow --in 2h
    """
    if delay is not None and at is not None:
        raise BadOption("give either --in or --at, not both")
    changes: dict[str, Any] = {
        "queue": queue,
        "priority": priority,
        "delay": None if delay is None else duration(delay, "--in"),
        "at": None if at is None else moment(at, "--at"),
        "retries": retries,
        "retry_after": None if retry_after is None else duration(retry_after, "--retry-after"),
        "expires": None if expires is None else expiry(expires, "--expires"),
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    changes |= {key: text or None for key, text in (("label", label), ("batch", batch))
                if text is not None}  # fmt: skip
    if timeout is not None:
        changes["timeout"] = None if timeout == NONE else duration(timeout, "--timeout")
    if not changes:
        raise RequestError("say what to change: --queue, --priority, --in, --at, --retries, ...")
    with Queue.of(place, create=False) as source:
        source.change(*ids, **changes)
    count = len(set(ids))
    print_json({"changed": count}) if json else print(count)
    hint(f"Changed {plural(count, 'job')}.")
