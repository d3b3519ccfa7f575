"""What happens to jobs, queues and workers, as the store remembers it: one class for each kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


class Position(NamedTuple):
    """A place between two events of a store."""

    row: int = 1
    """The row of the log that it stands in, or that is to come next."""
    told: int = 0
    """How many of that row's events stand before it."""
    last_id: int = 0
    """The last declaration that stands before it."""

    def __str__(self) -> str:
        return f"{self.row}.{self.told}.{self.last_id}"

    @classmethod
    def read(cls, text: str) -> Position | None:
        """The position that a text names; None if it is none."""
        match = re.fullmatch(r"(?a)(\d{1,18})\.(\d{1,18})\.(\d{1,18})", text)
        return None if match is None else cls(*map(int, match.groups()))


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that has happened."""

    cursor: str
    """Names the place just after it, from which one may go on."""
    at: float
    """When, in seconds since the epoch."""


@dataclass(frozen=True, kw_only=True)
class JobEvent(Event):
    """Something that has happened to a job."""

    id: int
    job: str
    """Its name."""
    queue: str


@dataclass(frozen=True, kw_only=True)
class Declared(JobEvent):
    """A job has been declared."""


@dataclass(frozen=True, kw_only=True)
class Started(JobEvent):
    """An attempt has begun."""

    attempt: int | None
    """Its number, from 1; None if the job has been purged since."""


@dataclass(frozen=True, kw_only=True)
class Progressed(JobEvent):
    """A job has told how far it has come."""

    attempt: int
    done: float
    total: float | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Completed(JobEvent):
    """A job has completed."""

    attempt: int | None
    """Its number, from 1; None if the job has been purged since."""


@dataclass(frozen=True, kw_only=True)
class Failed(JobEvent):
    """An attempt has failed, or a job that could not begin."""

    attempt: int
    """0 if it ended without having begun."""
    error: str
    """Its first line."""
    retry_at: float | None
    """When the job is due again; None if it has failed for good."""


@dataclass(frozen=True, kw_only=True)
class Postponed(JobEvent):
    """A job has asked to be run later, which uses no attempt."""

    due_at: float


@dataclass(frozen=True, kw_only=True)
class Retried(JobEvent):
    """Somebody has had a failed job put back, or a pending one made due."""


@dataclass(frozen=True, kw_only=True)
class Interrupted(JobEvent):
    """Its worker has given a job back that it could not end, which uses no attempt."""


@dataclass(frozen=True, kw_only=True)
class Recovered(JobEvent):
    """A job has been put back from a dead worker."""

    worker: int
    attempt: int | None
    """The attempt that died with it; None if none had begun, as far as is known."""


@dataclass(frozen=True, kw_only=True)
class Awaiting(JobEvent):
    """A job waits to be resolved."""

    until: float | None
    """When it fails if nobody does; None for never."""


@dataclass(frozen=True, kw_only=True)
class Resolved(JobEvent):
    """Somebody has resolved a job, which is pending again."""


@dataclass(frozen=True, kw_only=True)
class Cancelled(JobEvent):
    """A job has ended because somebody has cancelled it."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Expired(JobEvent):
    """A job has ended because it had not been started in time."""


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Somebody has paused a queue."""

    queue: str
    """Empty for all queues."""
    by: str | None
    why: str | None
    until: float | None


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """The pause of a queue has ended."""

    queue: str
    """Empty for all queues."""
    by: str | None
    """None if its time was over."""


@dataclass(frozen=True, kw_only=True)
class WorkerStarted(Event):
    """A worker has begun."""

    worker: int
    pid: int
    realizers: int
    queues: tuple[str, ...]
    """Those it takes from; empty for all."""


@dataclass(frozen=True, kw_only=True)
class WorkerStopped(Event):
    """A worker has left, or was found dead."""

    worker: int
    died: bool


@dataclass(frozen=True, kw_only=True)
class CodeChanged(Event):
    """Code has changed that a worker has loaded.

    Its realizers are replaced; or it leaves, if a package has changed.
    """

    worker: int
    files: tuple[str, ...]
    """Those that are new, changed or gone; the first hundred."""
    error: str | None
    """Why the new code could not be loaded, so that the older runs on; None if it was."""


@dataclass(frozen=True, kw_only=True)
class MemoryExceeded(Event):
    """A realizer has grown beyond its worker's memory limit, and is replaced."""

    worker: int
    pid: int
    job: str
    """The name of the last job that it ran; empty if it was too large before."""
    bytes: int
    """How large it was, and how large it may be."""
    limit: int


KINDS: dict[str, type[Event]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in (
        Declared, Started, Progressed, Completed, Failed, Postponed, Retried, Interrupted,
        Recovered, Awaiting, Resolved, Cancelled, Expired, Paused, Resumed, WorkerStarted,
        WorkerStopped, CodeChanged, MemoryExceeded,
    )
}  # fmt: skip
"""Every kind of event by its name, such as `worker_started`."""
NAMES = {kind: name for name, kind in KINDS.items()}
