"""A request to run a job, and where it can be; times are seconds since the epoch, in UTC."""

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
