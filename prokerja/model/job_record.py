"""A declared job as programs read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prokerja.model.declaration import Status
from prokerja.text import loaded

if TYPE_CHECKING:
    from prokerja.model.flow import Flow
    from prokerja.model.progress import Progress
    from prokerja.model.record import Record

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A declared job, and what had come of it at the moment at which it was read.

    Times are aware datetimes in UTC. What it shows of itself leaves out payload and result, which
    may hold what no log should.
    """

    id: int
    job: str
    """The name of its class, such as `send_email`."""
    queue: str
    priority: int
    status: Status
    label: str | None
    batch: str | None
    payload: dict[str, Any] = field(repr=False)
    result: Any = field(repr=False)
    """What `handle()` returned; None if it has not completed."""
    cut_bytes: int | None
    """How long the result was as JSON, if that was too long to be kept; `result` is None then."""
    progress: Progress | None
    """How far its last attempt has come, if it said so: done, total, text."""
    error: str | None
    """Of the last attempt, if that went wrong: also of a job that is to be tried again."""
    attempts: int
    """How many have ended."""
    retries: int
    """How many more it may have after the first."""
    flow: Flow | None = field(repr=False)
    """What it is subject to beside its queue: limit, rate, needs, turns; None for nothing."""
    declared_at: datetime
    due_at: datetime
    started_at: datetime | None
    """Of the attempt that runs, or of the last one."""
    finished_at: datetime | None
    """When it completed or failed for good."""
    peak_bytes: int | None = None
    """The most memory that the last attempt has held; None if it was short, or that is unknown."""
    cpu_seconds: float | None = None
    """The processor time that it has used; None for the same reasons."""

    @classmethod
    def of(cls, record: Record) -> JobRecord:
        """The same as the store has it."""
        is_completed = record.status is Status.COMPLETED
        return cls(
            id=record.id,
            job=record.lane.name,
            queue=record.lane.queue,
            priority=record.lane.priority,
            status=record.status,
            label=record.label,
            batch=record.batch,
            payload=loaded(record.payload),
            result=None if record.result is None else loaded(record.result),
            cut_bytes=record.cut_bytes,
            progress=record.progress,
            error=None if is_completed else record.error,
            attempts=record.attempts,
            retries=record.retries,
            flow=record.lane.flow,
            declared_at=_datetime(record.declared_at),
            due_at=_datetime(record.due_at),
            started_at=None if record.started_at is None else _datetime(record.started_at),
            finished_at=None if record.finished_at is None else _datetime(record.finished_at),
            peak_bytes=None if record.cost is None else record.cost.peak_bytes,
            cpu_seconds=None if record.cost is None else record.cost.cpu_seconds,
        )


def _datetime(seconds: float) -> datetime:
    """The moment, cut to the microsecond: a search from then on finds what happened then."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment - MICROSECOND if moment.timestamp() > seconds else moment
