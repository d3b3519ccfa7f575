"""Declarations as people ask for them; times are seconds since the epoch, in UTC."""

from typing import NamedTuple

from prokerja.model.cost import Cost
from prokerja.model.declaration import Lane, Status
from prokerja.model.progress import Progress
from prokerja.model.result import CutResult
from prokerja.model.step import Step


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
    cut_bytes: int | None = None
    """How long its result was, if that was too long to be kept whole."""
    cost: Cost | None = None
    """What it has used, if it took more than a moment."""


class Awaiting(NamedTuple):
    """A declaration's wait for an outside party."""

    since: float
    until: float | None
    """When it will have waited for too long."""


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
    batch: str | None
    cut_bytes: int | None = None
    """How long its result was, if that was too long to be kept whole; `result` is None then."""
    progress: Progress | None = None
    """How far its last attempt has come, if it said so."""
    suspended_at: float | None = None
    """Since when it is to stand still; None if it is not."""
    awaiting: Awaiting | None = None
    """If it waits to be resolved."""
    description: str | None = None
    """What its class calls it, if it says and once it has been begun."""
    cost: Cost | None = None
    """What the last attempt has used that took more than a moment."""


class Parent(NamedTuple):
    """A declaration on which another one depends."""

    id: int
    status: Status | None
    """None if it was purged."""
    met: bool
    """Whether it has ended as it was to."""


class Blocked(NamedTuple):
    """What a pending declaration waits for beside its due time."""

    held: bool
    """That somebody releases it."""
    batch: str | None
    """That no other of this batch is open."""
    parents: list[Parent]
    """That these end."""


class Condition(NamedTuple):
    """Something that has to be so for a worker to claim a declaration."""

    name: str
    holds: bool | None
    """Whether it is; None if that cannot be told before another is."""
    detail: str = ""
    """If it is not: what is missing, and what to do."""


class Detail(NamedTuple):
    """All about one declaration."""

    record: Record
    attempts: list[Attempt]
    """Those that have ended, first to last."""
    why: str | None
    """Why it is not running just now; None if it is."""
    stopping: str | None = None
    """The error with which its worker is to end it, if somebody has cancelled it."""
    parents: list[Parent] = []  # noqa: RUF012  nobody changes it
    """The declarations on which it depends."""
    expires_at: float | None = None
    """When it fails if it has not been started by then."""
    cut: CutResult | None = None
    """Its result, if that was too long to be kept whole."""
    steps: list[Step] = []  # noqa: RUF012  nobody changes it
    """Those that are done, first to last."""
    is_told: bool = True
    """Whether the hooks have run that hear of its end, if it has ended."""


class Running(NamedTuple):
    """A declaration that has been running for a moment at least."""

    record: Record
    worker: int
    """Who runs it."""


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
    batch: str | None = None
