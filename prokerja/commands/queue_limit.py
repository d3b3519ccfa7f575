"""`prokerja queue:limit`: how many jobs of a queue may run at once."""

from __future__ import annotations

from typing import Annotated

from prokerja import report
from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.commands.queues import Lifted, require_one
from prokerja.console import hint, print_json
from prokerja.queue import Queue


def run(
    *,
    queue: Annotated[str, Argument("The queue; it need not have been used yet.", "QUEUE")],
    most: Annotated[int | None, Argument("How many at once.", "[N]")] = None,
    none: Lifted = False,
    place: Place,
    json: Json = False,
) -> None:
    """Let no more than N jobs of a queue run at once, on all workers together.

    Example: prokerja queue:limit emails 2
    """
    require_one(most, lifted=none, example="a number")
    with Queue.of(place) as source:
        rule = source.limit_queue(queue, most)
    if json:
        print_json(report.rule_json(rule))
    hint(f"Queue {queue}: {'no limit' if most is None else f'{most:,} at once'}.")
