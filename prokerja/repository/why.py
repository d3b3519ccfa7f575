"""Why a job is not running, from what any store can tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prokerja.model.declaration import Status
from prokerja.times import human, iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.model.declaration import Lane
    from prokerja.model.record import Attempt, Record
    from prokerja.model.worker import WorkerRow

CLOCK_SLACK_SECONDS = 2.0
"""What was written down so much later than now tells of another clock, not of a correction."""
MAX_COUNTED = 1000
"""Jobs ahead of one that are counted in each lane, at most."""


class Answers(NamedTuple):
    """What is asked of a store."""

    living: Callable[[], list[WorkerRow]]
    """Every worker that is alive."""
    attempts: Callable[[Record], list[Attempt]]
    """Every attempt of a declaration that has ended, first to last."""
    ahead: Callable[[Record, float, Callable[[Lane], bool]], int]
    """How many due declarations come before a pending one at that time, of the lanes that count."""


def why_not_running(store: Answers, record: Record, now: float) -> str | None:
    """Why a job is not running just now; None if it is, or has completed."""
    if record.status is Status.PROCESSING:
        return _why_not_yet(store, record)
    if record.status is Status.COMPLETED:
        return None
    if record.status is Status.FAILED:
        return f"it has failed; `prokerja retry {record.id}` gives it a fresh start"
    if record.due_at > now:
        return _why_not_due(store, record, now)
    return _why_waiting(store, record, now)


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


def _why_not_yet(store: Answers, record: Record) -> str | None:
    if not store.living():
        return "its worker is dead; `prokerja realization:start` puts it back at once"
    return None if record.started_at is not None else "it is in a worker's hands, about to start"


def _why_waiting(store: Answers, record: Record, now: float) -> str:
    workers = store.living()
    queue, name, _, directory = record.lane
    if not workers:
        return "no worker is alive; start one with `prokerja realization:start`"
    taking = [worker for worker in workers if worker.taking.serves(queue)]
    if not taking:
        return f"no living worker takes from the queue {queue}; start one with --queue {queue}"
    known = [worker for worker in taking if worker.taking.has_jobs_of(directory)]
    if not known:
        return _why_elsewhere(directory, taking)
    if not any(worker.taking.knows(name) for worker in known):
        for worker in known:
            if not worker.taking.names:
                took = human(now - worker.started_at)
                return f"worker {worker.id} has loaded no jobs in {took}; its log says why"
        return (
            f"no living worker knows the job {name}; put its file into their jobs directory"
            " and restart one"
        )

    def taken(lane: Lane) -> bool:
        return any(worker.taking.takes(lane) for worker in known)

    ahead = store.ahead(record, now, taken)
    if not ahead:
        return "it is the next; a worker takes it as soon as a realizer is free"
    others = f"{ahead:,}{'+' if ahead >= MAX_COUNTED else ''} other job{'' if ahead == 1 else 's'}"
    return f"it waits its turn behind {others}"


def _why_elsewhere(directory: str, taking: list[WorkerRow]) -> str:
    from shlex import quote

    theirs = sorted({other for worker in taking for other in worker.taking.directories or ()})
    return (
        f"it was declared from {directory}, and living workers have the jobs of"
        f" {', '.join(theirs) or 'no directory'}; start one with --jobs {quote(directory)},"
        f" or with --same-as {quote(directory)} if those are the same jobs"
    )
