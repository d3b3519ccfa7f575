"""`prokerja queue:rate`: how many jobs of a queue may start in some time."""

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
    rate: Annotated[str | None, Argument("Such as 10/min, 5/30s or 100/day.", "[RATE]")] = None,
    none: Lifted = False,
    place: Place,
    json: Json = False,
) -> None:
    """Let no more jobs of a queue start in any stretch of time than RATE says, on all workers.

    Example: prokerja queue:rate emails 10/min
    """
    require_one(rate, lifted=none, example="a rate such as 10/min")
    with Queue.of(place) as source:
        rule = source.rate_queue(queue, rate)
    if json:
        print_json(report.rule_json(rule))
    hint(f"Queue {queue}: {'no rate' if rate is None else f'{rate.strip()} at most'}.")
