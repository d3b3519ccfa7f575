"""`prokerja queue:resume`: have jobs of a paused queue started again."""

from __future__ import annotations

import time

from prokerja import report
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
    place: Place,
    json: Json = False,
) -> None:
    """End the pause of a queue; with --all, that of all queues.

    Queues that were paused by their own names stay so when all are resumed. It fails if there is
    no such pause.

    Example: prokerja queue:resume emails
    """
    chosen = queue_of(queue, every=every)
    now = time.time()
    with Queue.of(place, create=False) as source:
        ended = source.resume_queue(chosen)
        pauses = [rule for rule in source.queue_rules() if rule.is_paused(now)]
    for pause in pauses:
        if chosen is None or pause.name == ALL_QUEUES:
            say(escaped(f"{sentence_with_end(pause)}; `{resuming(pause)}` ends that"))
    if json:
        print_json({"resumed": report.pause_json(ended)})
    hint(f"{called(ended)} resumed.")
