"""Types of the public functions, for type checkers; nothing imports this at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from prokerja.configured_job import ConfiguredJob
    from prokerja.model.declaration import Status


class Runnable(Protocol):
    """A job: an instance of a class with `handle()`."""

    def handle(self) -> Any:
        """Do the work."""


Declarable: TypeAlias = "Runnable | ConfiguredJob"
"""What can be declared: a job, or what its `options()` gives."""


class Terms(TypedDict, total=False):
    """Options of a declaration; one that is left out is as the job's class says."""

    queue: str | None
    priority: int | None
    """From -1000 to 1000; higher goes first."""
    delay: float | None
    """Seconds from now until it is due."""
    at: float | datetime | None
    """When it is due instead, in seconds since the epoch or as a datetime (naive is local)."""
    retries: int | None
    """More attempts after the first, 0 to 1000."""
    retry_after: float | None
    """Seconds before the second attempt; doubles with each."""
    timeout: float | None
    """Seconds for which it may run."""
    label: str | None
    """What its declarer calls it, for lists."""
    batch: str | None
    """What its declarer calls those that belong together."""
    coalesce: str | None
    """A key: while another with it is open, nothing is declared, and that one's id returned."""
    replace: bool
    """With `coalesce`: that one takes over the payload and the due time, while it waits."""
    hold: bool
    """Whether it waits until it is released."""
    expires: float | datetime | None
    """When it fails if it was not started by then: seconds from now, or a datetime."""
    after: int | Sequence[int]
    """Ids of those that have to end first."""
    if_parent_fails: Literal["cancel", "run", "wait"]
    """What it means if one of those fails; `cancel` if left out."""
    after_batch: str | None
    """The batch of which no other may be open."""
    limit_key: str | None
    """What `limit` counts; `{field}` stands for that field's value. The job's name if left out."""
    limit: int | None
    """How many with that key may run at once, 1 to 1,000,000."""
    lock: str | None
    """A key, no other with which may run at the same time."""
    rate: str | None
    """How many with its key may start in some time: `10/min`, `5/30s`."""
    rate_key: str | None
    """What `rate` counts; the job's name if left out."""
    needs: Mapping[str, int | str] | None
    """How much it takes of each resource while it runs: `{"gpu": 1, "memory": "4G"}`."""
    fair_key: str | None
    """Jobs of different keys take turns."""


class Changes(TypedDict, total=False):
    """What may change of a pending job; one that is left out stays as it is."""

    queue: str
    priority: int
    delay: float
    """Seconds from now until it is due."""
    at: float | datetime
    """When it is due instead."""
    retries: int
    retry_after: float
    timeout: float | None
    """None for no limit."""
    label: str | None
    batch: str | None
    expires: float | datetime
    """When it fails if it was not started by then: seconds from now, or a datetime."""


class Wanted(TypedDict, total=False):
    """Which jobs are looked for; what is left out does not matter."""

    status: Status | Literal["pending", "processing", "completed", "failed"] | None
    queue: str | None
    job: str | None
    """The name of its class, such as `send_email`."""
    label: str | None
    batch: str | None
    since: float | datetime | None
    """Declared then or later, in seconds since the epoch or as a datetime (naive is local)."""
    until: float | datetime | None
    """Declared before then."""
    error: str | None
    """What the error of its last failed attempt contains, in whatever case."""
