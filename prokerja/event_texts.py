"""Events as JSON, and in words."""

from __future__ import annotations

from dataclasses import fields
from functools import singledispatch
from typing import Any

from prokerja import events, sizes
from prokerja.times import human, iso

MAX_FILES = 3
"""How many are named."""
MOMENTS = ("at", "retry_at", "due_at", "until")


def event_json(event: events.Event) -> dict[str, Any]:
    """The shape of `events --json`."""
    facts = {field.name: getattr(event, field.name) for field in fields(event)}
    for name in MOMENTS:
        if facts.get(name) is not None:
            facts[name] = iso(facts[name])
    return {"event": events.NAMES[type(event)], **facts}


@singledispatch
def in_words(_: events.Event) -> str:
    """What is to be said of an event beside its kind, its job and its queue."""
    return ""


@in_words.register(events.Started)
@in_words.register(events.Completed)
def _(event: events.Started | events.Completed) -> str:
    return "" if event.attempt is None else f"attempt {event.attempt}"


@in_words.register
def _(event: events.Progressed) -> str:
    done = f"{event.done:,}" if event.total is None else f"{event.done:,}/{event.total:,}"
    return f"{done} {event.text}".rstrip()


@in_words.register
def _(event: events.Failed) -> str:
    attempt = f"attempt {event.attempt}" if event.attempt else "unstarted"
    if event.retry_at is None:
        return f"{attempt}, for good: {event.error}"
    return f"{attempt}, again in {human(event.retry_at - event.at)}: {event.error}"


@in_words.register
def _(event: events.Postponed) -> str:
    return f"for {human(event.due_at - event.at)}"


@in_words.register
def _(event: events.Recovered) -> str:
    attempt = f", which died in attempt {event.attempt}" if event.attempt else ""
    return f"from worker {event.worker}{attempt}"


@in_words.register
def _(event: events.Awaiting) -> str:
    return "" if event.until is None else f"for {human(event.until - event.at)} at most"


@in_words.register
def _(event: events.Cancelled) -> str:
    return event.error


@in_words.register
def _(event: events.Paused) -> str:
    by = f"by {event.by}" if event.by else ""
    until = f"until {iso(event.until)}" if event.until is not None else ""
    return ", ".join(filter(None, (by, until, event.why)))


@in_words.register
def _(event: events.Resumed) -> str:
    return f"by {event.by}" if event.by else ""


@in_words.register
def _(event: events.WorkerStarted) -> str:
    queues = ", ".join(event.queues) or "all"
    return f"worker {event.worker}, realizers: {event.realizers}, queues: {queues}"


@in_words.register
def _(event: events.WorkerStopped) -> str:
    return f"worker {event.worker}{' died' if event.died else ''}"


@in_words.register
def _(event: events.CodeChanged) -> str:
    more = f" and {len(event.files) - MAX_FILES} more" if len(event.files) > MAX_FILES else ""
    error = f", does not load: {event.error}" if event.error else ""
    return f"worker {event.worker}: {', '.join(event.files[:MAX_FILES])}{more}{error}"


@in_words.register
def _(event: events.MemoryExceeded) -> str:
    after = f" after {event.job}" if event.job else ""
    found, limit = sizes.human(event.bytes), sizes.human(event.limit)
    return f"worker {event.worker}, realizer {event.pid}: {found}{after}, of {limit}"
