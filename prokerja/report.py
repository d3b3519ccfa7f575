"""What people ask of a queue, as data: counts, lists, and why a job is not running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.model import Status
from prokerja.repository.sqlite.history import MANY
from prokerja.repository.sqlite.lanes import Tally
from prokerja.times import iso, words

if TYPE_CHECKING:
    from prokerja.model import Attempt, Lane, WorkerRow
    from prokerja.repository.sqlite.history import Record
    from prokerja.repository.sqlite.repository import Repository

CLOCK_SLACK_SECONDS = 2.0
"""What was written down so much later than now tells of another clock, not of a correction."""


class Summary(NamedTuple):
    """The counts of a file, or of one of its queues."""

    queues: list[Tally]
    waiting_since: float | None
    """When the longest-waiting due job became due."""
    workers: list[WorkerRow]
    now: float

    @property
    def total(self) -> Tally:
        """All queues taken together."""
        sums = (sum(column) for column in zip(*(tally[1:] for tally in self.queues), strict=True))
        return Tally("", *sums) if self.queues else Tally("", 0, 0, 0, 0)

    def to_json(self) -> dict[str, Any]:
        """The shape of `report --json`."""
        waiting = None if self.waiting_since is None else round(self.now - self.waiting_since, 3)
        return {
            **self.total.counts(),
            "queues": [{"queue": tally.queue, **tally.counts()} for tally in self.queues],
            "oldest_due_seconds": waiting,
            "workers": [worker_json(worker) for worker in self.workers],
        }


def summary(repository: Repository, queue: str | None, now: float) -> Summary:
    """Counts by queue and status, at the same cost for ten jobs and ten million."""
    with repository.database.reading():
        tallies = repository.lanes.tallies(queue)
        waiting = repository.history.longest_waiting(queue, now)
        workers = repository.workers.living()
    return Summary(tallies, waiting, workers, now)


def worker_json(worker: WorkerRow) -> dict[str, Any]:
    """A worker as JSON."""
    return {
        "id": worker.id,
        "pid": worker.pid,
        "started_at": iso(worker.started_at),
        "realizers": worker.realizers,
        "queues": list(worker.queues),
    }


def record_json(record: Record) -> dict[str, Any]:
    """A job as JSON, as lists show it."""
    return {
        "id": record.id,
        "job": record.lane.name,
        "queue": record.lane.queue,
        "priority": record.lane.priority,
        "status": record.status.value,
        "declared_at": iso(record.declared_at),
        "due_at": iso(record.due_at),
        "started_at": None if record.started_at is None else iso(record.started_at),
        "finished_at": None if record.finished_at is None else iso(record.finished_at),
        "attempts": record.attempts,
        "error": record.error if record.status is not Status.COMPLETED else None,
    }


def detail_json(record: Record, attempts: list[Attempt], why: str | None) -> dict[str, Any]:
    """All about one job as JSON."""
    return {
        **record_json(record),
        "jobs": record.lane.directory or None,
        "payload": loaded(record.payload),
        "result": None if record.result is None else loaded(record.result),
        "retries": record.retries,
        "retry_after": record.retry_after,
        "timeout": record.timeout,
        "returns": record.returns,
        "why_not_running": why,
        "history": [attempt_json(attempt) for attempt in attempts],
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON."""
    return {
        "attempt": attempt.number,
        "started_at": None if attempt.started_at is None else iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "error": attempt.error,
        "traceback": attempt.traceback,
    }


def why_not_running(repository: Repository, record: Record, now: float) -> str | None:
    """Why a job is not running just now; None if it is."""
    if record.status is Status.PROCESSING:
        return _why_not_yet(repository, record)
    if record.status is Status.COMPLETED:
        return "it is completed"
    if record.status is Status.FAILED:
        return f"it has failed; `prokerja retry {record.id}` gives it a fresh start"
    if record.due_at > now:
        return _why_not_due(repository, record, now)
    return _why_waiting(repository, record, now)


def _why_not_due(repository: Repository, record: Record, now: float) -> str:
    when = f"it is not due until {iso(record.due_at)}, in {words(record.due_at - now)}"
    moments = {"it was declared": record.declared_at}
    for attempt in repository.history.attempts(record)[-1:]:
        moments = {"its last attempt ended": attempt.finished_at}
    [(what, moment)] = moments.items()
    if moment <= now + CLOCK_SLACK_SECONDS:
        return when
    ahead = f"the clock was {words(moment - now)} ahead when {what}"
    return f"{ahead}, so {when}; `prokerja retry {record.id}` makes it due now"


def _why_not_yet(repository: Repository, record: Record) -> str | None:
    if not repository.workers.living():
        return "its worker is dead; `prokerja realization:start` puts it back at once"
    return None if record.started_at is not None else "it is in a worker's hands, about to start"


def _why_waiting(repository: Repository, record: Record, now: float) -> str:
    workers = repository.workers.living()
    queue, name, _, directory = record.lane
    if not workers:
        return "no worker is alive; start one with `prokerja realization:start`"
    taking = [worker for worker in workers if worker.serves(queue)]
    if not taking:
        return f"no living worker takes from the queue {queue}; start one with --queue {queue}"
    known = [worker for worker in taking if worker.has_jobs_of(directory)]
    if not known:
        return _why_elsewhere(directory, taking)
    if not any(name in worker.names for worker in known):
        for worker in known:
            if not worker.names:
                took = words(now - worker.started_at)
                return f"worker {worker.id} has loaded no jobs in {took}; its log says why"
        return (
            f"no living worker knows the job {name}; put its file into their jobs directory"
            " and restart one"
        )

    def taken(lane: Lane) -> bool:
        return any(worker.takes(lane) for worker in known if name in worker.names)

    ahead = repository.history.ahead(record, now, taken)
    if not ahead:
        return "it is the next; a worker takes it as soon as a realizer is free"
    others = f"{ahead:,}{'+' if ahead >= MANY else ''} other job{'' if ahead == 1 else 's'}"
    return f"it waits its turn behind {others}"


def _why_elsewhere(directory: str, taking: list[WorkerRow]) -> str:
    from shlex import quote

    theirs = sorted({other for worker in taking for other in worker.directories})
    return (
        f"it was declared from {directory}, and living workers have the jobs of"
        f" {', '.join(theirs) or 'no directory'}; start one with --jobs {quote(directory)},"
        f" or with --same-as {quote(directory)} if those are the same jobs"
    )


def loaded(text: str) -> Any:
    """The JSON value of a stored text; the text itself where it cannot be read as such."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
