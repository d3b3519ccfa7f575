"""A request to run a job, and where it can be; times are seconds since the epoch, in UTC."""

from enum import StrEnum
from typing import NamedTuple

from prokerja.model.flow import Flow

SHELL = "shell"
"""The job of every command, which any worker has; no class may have this name."""
NOTIFY = "prokerja.notify"
"""The queue of notices, from which every worker takes."""


class Conditions(NamedTuple):
    """What else a declaration waits for, whether another stands for it, where it comes from."""

    coalesce: str | None = None
    """While a declaration with this key is open, it stands for this one."""
    replace: bool = False
    """Whether that one then takes over the payload and the due time, if it has not begun."""
    hold: bool = False
    """Whether somebody has to release it."""
    expires_at: float | None = None
    """When it fails, if it has not been started by then."""
    after: tuple[int, ...] = ()
    """The declarations that have to end first."""
    if_parent_fails: str = "cancel"
    """What it means for this one if one of those fails: `cancel`, `run` or `wait`."""
    after_batch: str | None = None
    """The batch of which no other may be open."""
    trace: str | None = None
    """The trace in which it was made; see `prokerja.tracing.context`."""
    on_failure: str | None = None
    """What is run when it has failed for good; JSON that `notices.Rule` reads."""


class Ids(list[int]):
    """Ids of declarations, some of which were there before."""

    coalesced: frozenset[int] = frozenset()
    """Those."""


class Status(StrEnum):
    """The four places a declaration can be in."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class Lane(NamedTuple):
    """Where a declaration waits: one queue, job name, priority, jobs directory and flow."""

    queue: str
    name: str
    priority: int
    directory: str = ""
    """The jobs directory that the job was checked against; empty for any."""
    flow: Flow | None = None
    """What else all that waits there is subject to."""


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
    batch: str | None = None
    """What its declarer calls those that belong together."""
    conditions: Conditions | None = None

    def __repr__(self) -> str:
        """Hides the payload, which may hold what no log should."""
        return f"<Declaration {self.lane.name} on {self.lane.queue}, due {self.due_at:.3f}>"
