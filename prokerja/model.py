"""The nouns that every part shares; all times are seconds since the epoch, in UTC."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


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


class WorkerRow(NamedTuple):
    """A worker as the store knows it; whether it lives, only its lock can tell."""

    id: int
    pid: int
    started_at: float
    realizers: int
    queues: tuple[str, ...]
    """The queues it takes from, in order; empty for all."""
    names: tuple[str, ...]
    """The jobs it knows."""
    directories: tuple[str, ...]
    """The jobs directories whose jobs these are; a job of no directory is any worker's."""

    def serves(self, queue: str) -> bool:
        """Whether it takes from that queue."""
        return not self.queues or queue in self.queues

    def has_jobs_of(self, directory: str) -> bool:
        """Whether it takes what was declared from that jobs directory, or from none."""
        return not directory or directory in self.directories

    def takes(self, lane: Lane) -> bool:
        """Whether what waits there is for it."""
        queue, name, _, directory = lane
        return name in self.names and self.serves(queue) and self.has_jobs_of(directory)
