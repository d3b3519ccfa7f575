"""What the log of events tells, beside what the rows hold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja import events
from prokerja.events import Declared, JobEvent, Position
from prokerja.model.declaration import NOTIFY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.events import Event
    from prokerja.repository.sqlite.repository import SQLiteRepository

OPEN, COMPLETED, FAILED = range(3)
"""As rows say it."""
PAGE = 1000


def status_told(event: JobEvent) -> int:
    """What a job's row says after that."""
    if isinstance(event, events.Completed):
        return COMPLETED
    if isinstance(event, (events.Cancelled, events.Expired)):
        return FAILED
    if isinstance(event, events.Failed):
        return OPEN if event.retry_at else FAILED
    return OPEN


def contradictions(repository: SQLiteRepository) -> Iterator[str]:
    """Everything in which the log and the rows disagree; nothing, if all is well."""
    told, paused, last = dict[int, int](), set[str](), Position(0)
    for event in everything(repository):
        place = Position.read(event.cursor)
        if place is None or place <= last:
            yield f"{event} does not come after {last}"
        last = place or last
        if isinstance(event, Declared) and event.id in told:
            yield f"job {event.id} is told to have been declared twice, or too late"
        if isinstance(event, JobEvent):
            told[event.id] = status_told(event)
        elif isinstance(event, events.Paused):
            paused.add(event.queue)
        elif isinstance(event, events.Resumed):
            paused.discard(event.queue)
    execute = repository.database.execute
    for id, status in execute("SELECT id, status FROM declaration"):
        if told.get(id) != status:
            yield f"job {id} has the status {status}, and the log tells {told.get(id)}"
    rows = execute("SELECT name FROM queue WHERE paused_at IS NOT NULL")
    if paused != (found := {name for (name,) in rows}):
        yield f"the queues {found} are paused, and the log tells of {paused}"


def miscounted_notices(repository: SQLiteRepository) -> Iterator[str]:
    """Final failures of which nobody is told, or twice, if whoever works here wants all of them."""
    failures = Counter(
        event.id
        for event in everything(repository)
        if isinstance(event, events.Failed) and event.retry_at is None and event.queue != NOTIFY
    )
    execute = repository.database.execute
    outbox = "SELECT json_extract(facts, '$.id') FROM happening WHERE kind = 'failed'"
    told = Counter(id for (id,) in execute(outbox))
    labels = "SELECT label FROM declaration JOIN lane ON lane.id = lane WHERE queue = ?"
    for (label,) in execute(labels, (NOTIFY,)):
        told[int(label.removeprefix("failed: job "))] += 1
    for id in failures.keys() | told.keys():
        if failures[id] != told[id]:
            yield f"job {id} has failed {failures[id]} times for good, and is told of {told[id]}"


def everything(repository: SQLiteRepository) -> Iterator[Event]:
    """The whole log, page by page, as a follower reads it."""
    position = Position()
    while page := repository.events(position, PAGE):
        yield from page
        position = Position.read(page[-1].cursor) or position
