"""What people ask of a queue, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.model.declaration import SHELL, Status
from prokerja.model.flow import Flow
from prokerja.text import loaded
from prokerja.times import iso

if TYPE_CHECKING:
    from prokerja.model.flow import QueueRule
    from prokerja.model.progress import Progress
    from prokerja.model.record import Attempt, Awaiting, Condition, Detail, Parent, Record
    from prokerja.model.summary import Summary, Tally
    from prokerja.model.worker import WorkerRow


def summary_json(summary: Summary) -> dict[str, Any]:
    """The shape of `report --json`."""
    waiting = summary.waiting_since
    return {
        **tally_json(summary.total),
        "queues": [{"queue": tally.queue, **tally_json(tally)} for tally in summary.queues],
        "oldest_due_seconds": None if waiting is None else round(summary.now - waiting, 3),
        "workers": [worker_json(worker) for worker in summary.workers],
        "paused": [pause_json(pause) for pause in summary.paused],
    }


class QueueState(NamedTuple):
    """A queue, and what people have said of it."""

    tally: Tally
    rule: QueueRule
    pause: QueueRule | None
    """Its own pause, or else that of all queues; None if it is not paused."""


def queues_of(summary: Summary) -> list[QueueState]:
    """Every queue that has jobs, or of which people have said something, by name.

    The first is all of them (`""`) if something was said of those.
    """
    from prokerja.flow.pauses import ALL_QUEUES
    from prokerja.model.flow import QueueRule
    from prokerja.model.summary import Tally

    tallies = {tally.queue: tally for tally in summary.queues if any(tally[1:])}
    rules = {rule.name: rule for rule in summary.rules if rule.says_something(summary.now)}
    pauses = {pause.name: pause for pause in summary.paused}
    return [
        QueueState(
            tallies.get(name) or Tally(name, 0, 0, 0, 0),
            rules.get(name) or QueueRule(name),
            pauses.get(name) or pauses.get(ALL_QUEUES),
        )
        for name in sorted(tallies.keys() | rules.keys())
    ]


def queues_json(summary: Summary) -> dict[str, Any]:
    """The shape of `queue:list --json`."""
    found = [
        {
            **rule_json(one.rule),
            **tally_json(one.tally),
            "paused": None if one.pause is None else pause_json(one.pause),
        }
        for one in queues_of(summary)
        if one.rule.name
    ]
    return {"queues": found, "paused": [pause_json(pause) for pause in summary.paused]}


def rule_json(rule: QueueRule) -> dict[str, Any]:
    """A queue's limit and rate as JSON; null for none."""
    rate = None if rule.rate is None else rule.rate._asdict()
    return {"queue": rule.name, "limit": rule.max_running, "rate": rate}


def pause_json(pause: QueueRule) -> dict[str, Any]:
    """A pause as JSON; its queue is null for all of them."""
    since, until = (None if at is None else iso(at) for at in (pause.paused_at, pause.paused_until))
    return {
        "queue": pause.name or None,
        "by": pause.paused_by,
        "since": since,
        "until": until,
        "why": pause.paused_why,
    }


def tally_json(tally: Tally) -> dict[str, int]:
    """Counts as JSON; awaiting ones are processing, too."""
    return {**tally.counts(), "awaiting": tally.awaiting}


def worker_json(worker: WorkerRow) -> dict[str, Any]:
    """A worker as JSON."""
    return {
        "id": worker.id,
        "pid": worker.pid,
        "started_at": iso(worker.started_at),
        "realizers": worker.realizers,
        "queues": list(worker.taking.queues),
        "notes": [
            {"kind": note.kind, "since": iso(note.since), "text": note.text, "holds": note.holds}
            for note in worker.notes
        ],
    }


def notes_of(summary: Summary) -> list[str]:
    """What workers say of themselves, a sentence each."""
    return [
        f"worker {worker.id} {'takes no jobs' if note.holds else 'says'}: {note.text}"
        for worker in summary.workers
        for note in worker.notes
    ]


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
        "awaiting": None if record.awaiting is None else awaiting_json(record.awaiting),
        "attempts": record.attempts,
        "suspended_at": None if record.suspended_at is None else iso(record.suspended_at),
        "label": record.label,
        "description": record.description,
        "batch": record.batch,
        "progress": None if record.progress is None else progress_json(record.progress),
        "command": command_of(record),
        "error": record.error if record.status is not Status.COMPLETED else None,
    }


def progress_json(progress: Progress) -> dict[str, Any]:
    """How far a job has come, as JSON."""
    return {**progress._asdict(), "reported_at": iso(progress.reported_at)}


def progress_of(record: Record) -> str:
    """How far a job has come, in words: `340/1,000 (34%) pages`; empty if it has not said."""
    if record.progress is None:
        return ""
    _, done, total, text, _ = record.progress
    part = record.progress.part
    words = [f"{done:,}" if total is None else f"{done:,}/{total:,}"]
    if part is not None:
        words.append(f"({int(part * 100)}%)")
    return " ".join([*words, text] if text else words)


def awaiting_json(awaiting: Awaiting) -> dict[str, Any]:
    """A wait for an outside party as JSON."""
    since, until = awaiting
    return {"since": iso(since), "until": None if until is None else iso(until)}


def command_of(record: Record) -> str | None:
    """A command as one would type it; None for any other job."""
    if record.lane.name != SHELL:
        return None
    from prokerja.shell import title

    return title(loaded(record.payload))


def what_of(record: Record) -> str:
    """What tells a job from others of its kind, for lists: its label, or what it calls itself."""
    return record.label or record.description or command_of(record) or ""


def detail_json(detail: Detail) -> dict[str, Any]:
    """All about one job as JSON."""
    record = detail.record
    return {
        **record_json(record),
        "jobs": record.lane.directory or None,
        "payload": loaded(record.payload),
        "result": None if record.result is None else loaded(record.result),
        "cut_result": None if detail.cut is None else detail.cut._asdict(),
        "retries": record.retries,
        "retry_after": record.retry_after,
        "timeout": record.timeout,
        **flow_json(record.lane.flow),
        "returns": record.returns,
        "expires_at": None if detail.expires_at is None else iso(detail.expires_at),
        "after": [parent_json(parent) for parent in detail.parents],
        "why_not_running": detail.why,
        "stopping": detail.stopping,
        "steps": [{"step": one.name, "done_at": iso(one.done_at)} for one in detail.steps],
        "hooks_due": not detail.is_told,
        "history": [attempt_json(attempt) for attempt in detail.attempts],
    }


def flow_json(flow: Flow | None) -> dict[str, Any]:
    """What a job is subject to beside its queue, as JSON; null for what it is not."""
    limit_key, most, rate_key, starts, seconds, needs, fair_key = flow or Flow()
    return {
        "limit": {"key": limit_key, "most": most} if most else None,
        "rate": {"key": rate_key, "starts": starts, "seconds": seconds} if starts else None,
        "needs": dict(needs),
        "fair_key": fair_key or None,
    }


def parent_json(parent: Parent) -> dict[str, Any]:
    """What a job depends on as JSON; a status of null means that it was purged."""
    return {"id": parent.id, "status": parent.status, "met": parent.met}


def condition_json(condition: Condition) -> dict[str, Any]:
    """What has to be so for a job to be claimed, as JSON."""
    return {**condition._asdict(), "detail": condition.detail or None}


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """An attempt as JSON."""
    return {
        "attempt": attempt.number,
        "started_at": None if attempt.started_at is None else iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "exit_code": attempt.exit_code,
        "error": attempt.error,
        "traceback": attempt.traceback,
        "cut_bytes": attempt.cut_bytes,
        "peak_bytes": None if attempt.cost is None else attempt.cost.peak_bytes,
        "cpu_seconds": None if attempt.cost is None else attempt.cost.cpu_seconds,
    }
