"""Why a job is not running, from what any store can tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prokerja.flow.pauses import pause_of, resuming, sentence_with_end
from prokerja.model.declaration import Status
from prokerja.model.record import Condition
from prokerja.repository import why_short
from prokerja.text import quoted
from prokerja.times import human, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prokerja.model.declaration import Lane
    from prokerja.model.flow import QueueRule, Resources, Shortage
    from prokerja.model.record import Attempt, Blocked, Parent, Record
    from prokerja.model.worker import WorkerRow

    ShortOf = Callable[[Lane], list[Shortage]]

CLOCK_SLACK_SECONDS = 2.0
"""What was written down so much later than now tells of another clock, not of a correction."""
MAX_COUNTED = 1000
"""Jobs ahead of one that are counted in each lane, at most."""
ALIVE = "a worker is alive"
SERVES = "a worker takes from its queue"
HAS_JOBS = "that worker has the jobs of its directory"
KNOWS = "that worker knows the job"
FITS = "that worker's class fits its payload"
TAKES_JOBS = "that worker takes such jobs just now"
NOT_PAUSED = "its queue is not paused"
IS_NEXT = "no other job goes first"
IS_FREE = "a realizer of that worker is free"
NEXT = "it is the next; a worker takes it as soon as a realizer is free"
ALL_BUSY = "all of them have jobs"


class Answers(NamedTuple):
    """What is asked of a store."""

    living: Callable[[], list[WorkerRow]]
    """Every worker that is alive."""
    attempts: Callable[[Record], list[Attempt]]
    """Every attempt of a declaration that has ended, first to last."""
    ahead: Callable[[Record, float, Callable[[Lane], bool]], int]
    """How many due declarations come before a pending one at that time, of the lanes that count."""
    blocked: Callable[[int], Blocked | None]
    """What a pending declaration waits for beside its due time."""
    held_by: Callable[[], dict[int, int]]
    """How many declarations each worker has claimed."""
    refusals: Callable[[Record], dict[int, str]]
    """The workers that have given a declaration's like back, and why, by their ids."""
    rules: Callable[[], Mapping[str, QueueRule]]
    """What people have said of queues, by their names."""
    shortages: Callable[[Resources, Mapping[str, QueueRule], float], ShortOf]
    """What keeps a lane from being claimed from, where there are these resources and rules."""
    holders: Callable[[Shortage], list[int]]
    """The declarations that have what is short."""


def why_not_running(store: Answers, record: Record, now: float) -> str | None:
    """Why a job is not running just now; None if it is, or has completed."""
    if record.status is Status.COMPLETED:
        return None
    if record.status is Status.PROCESSING:
        return _why_not_yet(store, record)
    missing = (one.detail for one in conditions(store, record, now) if one.holds is False)
    return next(missing, NEXT)


def conditions(store: Answers, record: Record, now: float) -> list[Condition]:
    """All that has to be so for a worker to claim a job, in the order in which it is looked at.

    What cannot be told before another is so has neither yes nor no.
    """
    if record.status is not Status.PENDING:
        return [Condition("it is pending", False, _why_not_pending(store, record))]
    is_due = record.due_at <= now
    rules = store.rules()
    pause = pause_of(rules, record.lane.queue, now)
    return [
        Condition("it is pending", True),
        *_not_blocked(store.blocked(record.id), record.id),
        Condition(NOT_PAUSED, pause is None, "" if pause is None else _why_paused(pause)),
        Condition("it is due", is_due, "" if is_due else _why_not_due(store, record, now)),
        *_can_be_taken(store, record, now, rules, is_due=is_due and pause is None),
    ]


def _why_not_pending(store: Answers, record: Record) -> str:
    if record.status is Status.FAILED:
        return f"it has failed; `prokerja retry {record.id}` gives it a fresh start"
    if record.status is Status.COMPLETED:
        return "it has completed"
    return _why_not_yet(store, record) or "it is running"


def _why_not_yet(store: Answers, record: Record) -> str | None:
    if record.awaiting is not None:
        return f"it waits to be resolved; `prokerja resolve {record.id}` does that"
    if not store.living():
        return "its worker is dead; `prokerja realization:start` puts it back at once"
    if record.suspended_at is not None:
        since = iso(record.suspended_at)
        return f"it was suspended at {since}; `prokerja resume {record.id}` continues it"
    return None if record.started_at is not None else "it is in a worker's hands, about to start"


def _not_blocked(blocked: Blocked | None, id: int) -> Iterator[Condition]:
    held = blocked is not None and blocked.held
    why = f"it is held; `prokerja release {id}` lets it run"
    yield Condition("it is not held", not held, why if held else "")
    parents = [] if blocked is None else blocked.parents
    why = _why_parents(parents) if parents else ""
    yield Condition("the jobs that it depends on have ended", not parents, why)
    batch = None if blocked is None else blocked.batch
    why = "" if batch is None else f"it waits until no job of the batch {quoted(batch)} is open"
    yield Condition("the batch that it follows has ended", batch is None, why)


def _why_parents(parents: list[Parent]) -> str:
    first, others = parents[0], len(parents) - 1
    more = f" and {others:,} other{'' if others == 1 else 's'}" if others else ""
    if first.status is None:
        return f"it waits for job {first.id}{more}, which was purged"
    if first.status is Status.FAILED:
        retry = f"`prokerja retry {first.id}` tries that again"
        return f"it waits for job {first.id}, which has failed{more and f',{more}'}; {retry}"
    return f"it waits for job {first.id}, which is {first.status}{more and f',{more}'}"


def _why_paused(pause: QueueRule) -> str:
    return f"{sentence_with_end(pause)}; `{resuming(pause)}` ends that"


def _why_not_due(store: Answers, record: Record, now: float) -> str:
    when = f"it is due in {human(record.due_at - now)}, at {iso(record.due_at)}"
    moments = {"it was declared": record.declared_at}
    for attempt in store.attempts(record)[-1:]:
        moments = {"its last attempt ended": attempt.finished_at}
    [(what, moment)] = moments.items()
    if moment <= now + CLOCK_SLACK_SECONDS:
        return when
    ahead = f"the clock was {human(moment - now)} ahead when {what}"
    return f"{ahead}, so {when}; `prokerja retry {record.id}` makes it due now"


def _can_be_taken(
    store: Answers, record: Record, now: float, rules: Mapping[str, QueueRule], *, is_due: bool
) -> Iterator[Condition]:
    """What a worker asks: by the same rules, `Taking` and `pause_of`, by which it claims."""
    workers = store.living()
    queue, name, _, directory, _ = record.lane
    why = "no worker is alive; start one with `prokerja realization:start`"
    yield Condition(ALIVE, bool(workers), "" if workers else why)
    taking = [worker for worker in workers if worker.taking.serves(queue)]
    why = f"no living worker takes from the queue {queue}; start one with --queue {queue}"
    yield _if(workers, SERVES, taking, why)
    near = [worker for worker in taking if worker.taking.has_jobs_of(directory)]
    yield _if(taking, HAS_JOBS, near, _why_elsewhere(directory, taking))
    named = [worker for worker in near if worker.taking.knows(name)]
    yield _if(near, KNOWS, named, _why_unknown(near, name, now))
    refusals = store.refusals(record)
    known = [worker for worker in named if worker.id not in refusals]
    yield _if(named, FITS, known, _why_refused(named, refusals))
    reasons = {one.id: why for one in known if (why := _why_left_alone(one, name))}
    if reasons:
        known = [worker for worker in known if worker.id not in reasons]
        yield Condition(TAKES_JOBS, bool(known), "" if known else next(iter(reasons.values())))

    candidates = [(one, store.shortages(one.taking.resources, rules, now)) for one in known]
    worker, short_of = min(
        candidates,
        key=lambda one: len(one[1](record.lane)),
        default=(None, store.shortages({}, rules, now)),
    )
    short = short_of(record.lane)
    yield from why_short.conditions(record.lane, rules.get(queue), worker, short, store.holders)

    def taken(lane: Lane) -> bool:
        if pause_of(rules, lane.queue, now) is not None or short_of(lane):
            return False
        return any(worker.taking.takes(lane) for worker in near)

    is_due = is_due and not short
    ahead = store.ahead(record, now, taken) if known and is_due else 0
    others = f"{ahead:,}{'+' if ahead >= MAX_COUNTED else ''} other job{'' if ahead == 1 else 's'}"
    why = f"it waits its turn behind {others}" if ahead else ""
    yield Condition(IS_NEXT, not ahead if known and is_due else None, why)
    held = store.held_by() if known else {}
    free = [worker for worker in known if held.get(worker.id, 0) < worker.realizers]
    yield _if(known, IS_FREE, free, NEXT if is_due and not ahead else ALL_BUSY)


def _if(asked: list[WorkerRow], name: str, found: list[WorkerRow], why: str) -> Condition:
    """A condition on workers, of which nothing can be told if there are none to ask."""
    if not asked:
        return Condition(name, None)
    return Condition(name, bool(found), "" if found else why)


def _why_left_alone(worker: WorkerRow, name: str) -> str:
    """Why a worker takes no job of that name just now, by its own word; empty if it does."""
    for note in worker.notes:
        if note.holds:
            return f"worker {worker.id} takes no jobs: {note.text}"
        if note.kind.endswith(f":{name}"):
            return f"worker {worker.id}: {note.text}"
    return ""


def _why_refused(workers: list[WorkerRow], refusals: dict[int, str]) -> str:
    refusers = (worker.id for worker in workers if worker.id in refusals)
    return next((f"worker {id} {refusals[id]}; restart it" for id in refusers), "")


def _why_unknown(workers: list[WorkerRow], name: str, now: float) -> str:
    for worker in workers:
        if not worker.taking.names:
            took = human(now - worker.started_at)
            return f"worker {worker.id} has loaded no jobs in {took}; its log says why"
    return (
        f"no living worker knows the job {name}; put its file into their jobs directory,"
        " and restart those with --no-watch"
    )


def _why_elsewhere(directory: str, taking: list[WorkerRow]) -> str:
    from shlex import quote

    theirs = sorted({other for worker in taking for other in worker.taking.directories or ()})
    return (
        f"it was declared from {directory}, and living workers have the jobs of"
        f" {', '.join(theirs) or 'no directory'}; start one with --jobs {quote(directory)},"
        f" or with --same-as {quote(directory)} if those are the same jobs"
    )
