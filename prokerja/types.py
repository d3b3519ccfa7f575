"""Types of the public functions, for type checkers; nothing imports this at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from datetime import datetime


class Runnable(Protocol):
    """A job: an instance of a class with `handle()`."""

    def handle(self) -> Any:
        """Do the work."""


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
