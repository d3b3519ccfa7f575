"""`prokerja queue:pause`: have no job of a queue started."""

from __future__ import annotations

from typing import Annotated

from prokerja import report
from prokerja.commandline import Option
from prokerja.commandline.input import expiry
from prokerja.commands import Json, Place
from prokerja.commands.queues import Every, Named, called, queue_of
from prokerja.console import hint, print_json, say
from prokerja.flow.pauses import ALL_QUEUES, resuming, sentence_with_end
from prokerja.queue import Queue
from prokerja.text import escaped


def run(
    *,
    queue: Named = None,
    every: Every = False,
    why: Annotated[str | None, Option("Why, for others to read.", metavar="TEXT")] = None,
    until: Annotated[
        str | None, Option("Resume it by itself then.", metavar="DURATION|TIME")
    ] = None,
    place: Place,
    json: Json = False,
) -> None:
    """Have no job of a queue started until `queue:resume`; what runs goes on.

    Jobs can be declared all the while. A pause is kept in the file, with who has asked for it.

    Example: prokerja queue:pause emails --why "the server moves" --until 2h
    """
    chosen = queue_of(queue, every=every)
    end = None if until is None else expiry(until, "--until")
    with Queue.of(place) as source:
        replaced = source.pause_queue(chosen, why=why, until=end)
        rules = {rule.name: rule for rule in source.queue_rules()}
    if replaced is not None:
        say(escaped(f"{sentence_with_end(replaced)}; that is replaced"))
    pause = rules.get(chosen or ALL_QUEUES)
    if json:
        now = None if pause is None else report.pause_json(pause)
        before = None if replaced is None else report.pause_json(replaced)
        print_json({"paused": now, "replaced": before})
    if pause is not None:
        hint(f"{called(pause)} paused; `{resuming(pause)}` ends that.")
