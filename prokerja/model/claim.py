"""What a worker holds; times are seconds since the epoch, in UTC."""

from collections.abc import Sequence
from typing import NamedTuple

from prokerja.model.cost import Cost
from prokerja.model.progress import Progress


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


class Ending(NamedTuple):
    """How a declaration ended whose job has not been told."""

    was: str
    """Its status before."""
    status: str
    error: str | None


class Hooking(NamedTuple):
    """What an attempt is given whose class has hooks."""

    retries_left: int = 0
    """After this attempt."""
    ended: Ending | None = None
    """If the job is to be told of this, and not to be run."""


class Traced(NamedTuple):
    """What an attempt is given that is to have a span."""

    queue: str
    context: str | None = None
    """The trace in which its declaration was made, if it was in one."""


class Extra(NamedTuple):
    """What an attempt is given beside its payload, if anything."""

    parents: dict[int, str | None] | None = None
    """The results of the declarations that this one has waited for, as JSON, by id."""
    counts: dict[str, int] | None = None
    """How many of the batch that it has waited for have completed, and failed."""
    steps: dict[str, str] | None = None
    """The values of the steps that it has done before, as JSON, by name."""
    answer: str | None = None
    """What it was resolved with, as JSON; `resolved()` is called then, not `handle()`."""
    token: str | None = None
    """That which the attempt was given before it was resolved."""
    hooks: Hooking | None = None
    traced: Traced | None = None


class Outgrown(NamedTuple):
    """A realizer that has grown beyond its worker's memory limit."""

    pid: int
    job: str
    """The name of the last job that it ran; empty if it was too large before."""
    bytes: int
    limit: int


class Reported(NamedTuple):
    """What attempts have told of themselves while they run, by the claim's token and the id."""

    steps: Sequence[tuple[tuple[int, int], str, str]] = ()
    """Steps that they have done: the name, and the value as JSON."""
    progress: Sequence[tuple[tuple[int, int], Progress]] = ()
    """How far they have come."""
    descriptions: Sequence[tuple[tuple[int, int], str]] = ()
    """What the jobs call themselves."""
    costs: Sequence[tuple[tuple[int, int], Cost]] = ()
    """What they have used, once they are about to be settled."""
    outgrown: Sequence[Outgrown] = ()
    """The realizers of their worker that have grown beyond its limit."""


class Overdue(NamedTuple):
    """A declaration that nobody has resolved in time."""

    id: int
    lane: int
    started_at: float
    """When its attempt began."""
    error: str


class Cancellation(NamedTuple):
    """A declaration that its worker is to stop."""

    token: int
    """Of the claim that covers it."""
    id: int
    error: str
    """What it ends with."""


class Requests(NamedTuple):
    """What a worker is asked to do with what it holds."""

    cancelled: list[Cancellation]
    suspended: set[tuple[int, int]]
    """What is to stand still, by token and id."""
    deadline: float | None
    """When the next of what nobody holds may fail, because nobody resolves or starts it."""


class FailedAttempt(NamedTuple):
    """An attempt that has failed, and what becomes of its declaration."""

    id: int
    lane: int
    number: int
    """0 if it ended without having begun."""
    error: str
    retry_at: float | None
    """When it is due again; None when it has failed for good."""
