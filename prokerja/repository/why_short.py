"""Whether limits, rates and resources let a job run, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.record import Condition
from prokerja.text import quoted
from prokerja.times import human, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prokerja.model.declaration import Lane
    from prokerja.model.flow import QueueRule, Shortage
    from prokerja.model.worker import WorkerRow

MAX_NAMED = 3
"""Of the jobs that are in the way."""
NAMES = {
    "limit": "its limit leaves room",
    "rate": "its rate allows another start",
    "resource": "what it needs is free",
    "queue limit": "the limit of its queue leaves room",
    "queue rate": "the rate of its queue allows another start",
}
"""Of the conditions, by the kind of shortage."""


def conditions(
    lane: Lane,
    rule: QueueRule | None,
    worker: WorkerRow | None,
    shortages: Sequence[Shortage],
    holders: Callable[[Shortage], list[int]],
) -> Iterator[Condition]:
    """Those that there are for what waits in a lane, given what is short.

    `worker` is one that would take it; `holders` gives the ids of the jobs that have what is short.
    """
    for kind in _kinds(lane, rule):
        short = next((one for one in shortages if one.kind == kind), None)
        if kind == "resource" and worker is None:
            yield Condition(NAMES[kind], None)
        else:
            detail = "" if short is None else _WORDS[kind](short, holders(short), worker)
            yield Condition(NAMES[kind], short is None, detail)


def _kinds(lane: Lane, rule: QueueRule | None) -> Iterator[str]:
    flow = lane.flow
    if flow is not None:
        asked = {"limit": flow.limit_key, "rate": flow.rate_key, "resource": flow.needs}
        yield from (kind for kind, value in asked.items() if value)
    if rule is not None:
        said = {"queue limit": rule.max_running, "queue rate": rule.rate}
        yield from (kind for kind, value in said.items() if value)


def _full(short: Shortage, holders: list[int], _: WorkerRow | None) -> str:
    verb = "runs" if short.used == 1 else "run"
    return f"{short.used:,} of {short.most:,} {_whose(short)} {verb}: {_jobs(holders)}"


def _too_fast(short: Shortage, _: list[int], __: WorkerRow | None) -> str:
    verb = "has" if short.used == 1 else "have"
    told = (
        f"{short.used:,} of {short.most:,} {_whose(short)} {verb} started within"
        f" {human(short.seconds)}"
    )
    if short.until is None:
        return f"{told}, or are about to"
    return f"{told}; the next may at {iso(short.until)}"


def _too_little(short: Shortage, holders: list[int], worker: WorkerRow | None) -> str:
    assert worker is not None
    wants = f"it needs {short.wanted:,} of {short.of}"
    if short.wanted > short.most:
        there = f"{short.most:,}" if short.most else "none"
        return (
            f"{wants}, and the machine of worker {worker.id} has {there}; what there is stands"
            " under [resources] in its prokerja.toml"
        )
    return f"{wants}, and {short.used:,} of {short.most:,} are in use: {_jobs(holders)}"


def _whose(short: Shortage) -> str:
    if short.kind.startswith("queue"):
        return f"of the queue {short.of}"
    return f"with the {short.kind} key {quoted(short.of)}"


def _jobs(ids: list[int]) -> str:
    if not ids:
        return "those that are about to start"
    named = ids[:MAX_NAMED]
    others = len(ids) - len(named)
    told = [*map(str, named), *([f"{others:,} others"] if others else [])]
    if len(told) == 1:
        return f"job {told[0]}"
    return f"jobs {', '.join(told[:-1])} and {told[-1]}"


_WORDS: Mapping[str, Callable[[Shortage, list[int], WorkerRow | None], str]] = {
    "limit": _full,
    "rate": _too_fast,
    "resource": _too_little,
    "queue limit": _full,
    "queue rate": _too_fast,
}
