"""`prokerja events`: what has happened to jobs, queues and workers."""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja.commandline import Option
from prokerja.commands import Json, Number, Place, QueueOption
from prokerja.console import hint, print_fields
from prokerja.errors import BadOption
from prokerja.event_following import follow, so_far
from prokerja.event_texts import event_json, in_words
from prokerja.events import Position
from prokerja.queue import Queue
from prokerja.text import quoted
from prokerja.times import duration, moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.events import Event
    from prokerja.repository.verbs import Repository


MAX_ID_DIGITS = 18
"""Of an id; a name may have more."""


def run(
    *,
    follow_on: Annotated[
        bool, Option("Go on with what happens, until Ctrl-C.", ("--follow", "-f"))
    ] = False,
    since: Annotated[
        str | None,
        Option("Only what came after a cursor, or since a time, such as 2h ago.", metavar="WHEN"),
    ] = None,
    job: Annotated[
        str | None, Option("Only what happened to jobs of this name, or id.", metavar="NAME")
    ] = None,
    queue: QueueOption = None,
    limit: Annotated[
        int | None, Option("Stop after so many; default: no limit.", metavar=Number)
    ] = None,
    place: Place,
    json: Json = False,
) -> None:
    """Show what has happened to jobs, queues and workers, the oldest first.

    With --follow and without --since, only what happens from now on. Each event has a cursor,
    which --json shows: given to --since, it goes on just after it.

    Example: prokerja events --since 1h --job 12
    """
    if limit is not None and limit < 1:
        raise BadOption(f"--limit: {limit} is too few; give 1 or more")
    is_wanted = _filter(job, queue)
    print_event = _print_json if json else _print_line
    if not place.events:
        hint("The setting events is off here, so little but declarations may be told.")
    with Queue.of(place, create=False) as source:
        store = source.repository
        after = _position(store, since, at_end=follow_on)
        found = (
            follow(store, after, is_wanted, sys.stdout.fileno())
            if follow_on
            else so_far(store, after, is_wanted)
        )
        for event in itertools.islice(found, limit):
            print_event(event)
            if follow_on:
                sys.stdout.flush()


def _filter(job: str | None, queue: str | None) -> Callable[[Event], bool]:
    """Whether an event is about a job of that name or id, and a queue."""
    facts: dict[str, Any] = {} if queue is None else {"queue": (queue, "")}  # "" is all of them
    if job is not None:
        is_id = job.isascii() and job.isdigit() and len(job) <= MAX_ID_DIGITS
        facts |= {"id": (int(job),)} if is_id else {"job": (job,)}
    return lambda event: all(getattr(event, name, None) in facts[name] for name in facts)


def _position(store: Repository, since: str | None, *, at_end: bool) -> Position:
    if since is None:
        return store.event_position(None) if at_end else Position()
    if (found := Position.read(since)) is not None:
        return found
    try:
        return store.event_position(time.time() - duration(since, "--since"))
    except BadOption:
        pass
    try:
        return store.event_position(moment(since, "--since"))
    except BadOption:
        raise BadOption(
            f"--since: {quoted(since)} is no time, duration or cursor; write"
            " 2030-01-31T18:00, 2h, or the cursor of an event"
        ) from None


def _print_json(event: Event) -> None:
    import json

    print(json.dumps(event_json(event)))


def _print_line(event: Event) -> None:
    facts = event_json(event)
    cells = (str(facts.get(name, "")) for name in ("at", "event", "id", "job", "queue"))
    print_fields([(*cells, in_words(event))])
