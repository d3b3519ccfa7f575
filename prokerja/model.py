"""The nouns that every part shares; all times are seconds since the epoch, in UTC."""

from __future__ import annotations

from collections.abc import Collection  # noqa: TC003  msgspec reads these types
from enum import StrEnum
from typing import NamedTuple

SHELL = "shell"
"""The job of every command, which any worker has; no class may have this name."""


class Status(StrEnum):
    """The four places a declaration can be in."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Lane(NamedTuple):
    """Where a declaration waits: one queue, one job name, one priority, one jobs directory."""

    queue: str
    name: str
    priority: int
    directory: str = ""
    """The jobs directory that the job was checked against; empty for any."""


class Declaration(NamedTuple):
    """A request to run a job, as it goes into the store."""

    lane: Lane
    payload: str
    """A JSON object."""
    due_at: float
    retries: int
    retry_after: float
    timeout: float | None
    label: str | None = None
    """What its declarer calls it."""

    def __repr__(self) -> str:
        """Hides the payload, which may hold what no log should."""
        return f"<Declaration {self.lane.name} on {self.lane.queue}, due {self.due_at:.3f}>"


class Claimed(NamedTuple):
    """One attempt that a worker has the right to."""

    token: int
    """Of the claim that covers it."""
    due_at: float
    id: int
    lane: int
    """The lane's id in the store."""
    payload: str
    attempt: int
    """The number of this attempt, from 1."""
    timeout: float | None


class FailedAttempt(NamedTuple):
    """An attempt that has failed, and what becomes of its declaration."""

    id: int
    lane: int
    number: int
    error: str
    retry_at: float | None
    """When it is due again; None when it has failed for good."""


class Attempt(NamedTuple):
    """One realization as the store remembers it."""

    number: int
    worker: int
    started_at: float | None
    finished_at: float
    error: str | None
    traceback: str | None
    exit_code: int | None
    """Of a command; below zero for the number of the signal that killed it."""


class Record(NamedTuple):
    """A declaration and what has come of it so far."""

    id: int
    lane: Lane
    status: Status
    declared_at: float
    due_at: float
    started_at: float | None
    """Of the attempt that runs now, or of the last one."""
    finished_at: float | None
    attempts: int
    """How many attempts have ended."""
    retries: int
    retry_after: float
    timeout: float | None
    returns: int
    """How often it came back without having used an attempt."""
    payload: str
    result: str | None
    error: str | None
    """Of the last attempt that went wrong."""
    label: str | None


class Detail(NamedTuple):
    """All about one declaration."""

    record: Record
    attempts: list[Attempt]
    """Those that have ended, first to last."""
    why: str | None
    """Why it is not running just now; None if it is."""


class Filter(NamedTuple):
    """Which declarations a list is about; None for any."""

    status: Status | None = None
    queue: str | None = None
    name: str | None = None
    label: str | None = None
    since: float | None = None
    """Declared then or later."""
    until: float | None = None
    """Declared before that."""
    error: str | None = None
    """What the error of its last failed attempt contains, in whatever case."""


class Tally(NamedTuple):
    """How many declarations of each status one queue holds."""

    queue: str
    pending: int
    processing: int
    completed: int
    failed: int

    def counts(self) -> dict[str, int]:
        """The numbers by status."""
        return {status.value: getattr(self, status.value) for status in Status}


class Taking(NamedTuple):
    """What a worker takes: the one rule that decides it, for claiming as for telling why not."""

    queues: tuple[str, ...] = ()
    """In the order in which it takes from them; empty for all."""
    names: Collection[str] | None = None
    """The jobs it knows; None for every one."""
    directories: Collection[str] | None = None
    """The jobs directories that these are from; a job of no directory is any worker's."""

    def serves(self, queue: str) -> bool:
        """Whether it takes from that queue."""
        return not self.queues or queue in self.queues

    def has_jobs_of(self, directory: str) -> bool:
        """Whether it takes what was declared from that jobs directory, or from none."""
        return not directory or self.directories is None or directory in self.directories

    def knows(self, name: str) -> bool:
        """Whether it has that job."""
        return self.names is None or name == SHELL or name in self.names

    def takes(self, lane: Lane) -> bool:
        """Whether what waits there is for it."""
        queue, name, _, directory = lane
        return self.serves(queue) and self.knows(name) and self.has_jobs_of(directory)


class WorkerRow(NamedTuple):
    """A worker as the store knows it; whether it lives, only its lock can tell."""

    id: int
    pid: int
    started_at: float
    realizers: int
    taking: Taking


class Summary(NamedTuple):
    """The counts of a store, or of one of its queues."""

    queues: list[Tally]
    waiting_since: float | None
    """When the longest-waiting due job became due."""
    workers: list[WorkerRow]
    """Those that are alive."""
    now: float

    @property
    def total(self) -> Tally:
        """All queues taken together."""
        sums = (sum(column) for column in zip(*(tally[1:] for tally in self.queues), strict=True))
        return Tally("", *sums) if self.queues else Tally("", 0, 0, 0, 0)
