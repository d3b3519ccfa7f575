"""What declarations are subject to beside their queues: limits, rates, resources, turns."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

Key = tuple[str, ...]
"""Texts and names of fields in turns, with a text at either end."""


class Rate(NamedTuple):
    """How many may start in any stretch of so many seconds."""

    starts: int
    seconds: float


class Flow(NamedTuple):
    """What a declaration shares with others; what does not apply is empty, or 0."""

    limit_key: str = ""
    max_running: int = 0
    """How many of that key may run at once."""
    rate_key: str = ""
    max_starts: int = 0
    """How many of that key may start in any stretch of `rate_seconds`."""
    rate_seconds: float = 0.0
    needs: tuple[tuple[str, int], ...] = ()
    """How much it takes of each resource while it runs, by the resource's name."""
    fair_key: str = ""
    """Jobs of different keys take turns."""


class FlowTerms(NamedTuple):
    """What a job's class or its declaration says of its flow; None for what it does not say."""

    limit_key: Key | None = None
    limit: int | None = None
    rate_key: Key | None = None
    rate: Rate | None = None
    needs: tuple[tuple[str, int], ...] | None = None
    """By name, in order."""
    fair_key: Key | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return {**given, "needs": dict(self.needs)} if self.needs is not None else given

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The terms that `to_json` wrote; KeyError or TypeError for anything else."""
        keys = {name: tuple(value) for name, value in data.items() if name.endswith("_key")}
        rate = Rate(*data["rate"]) if "rate" in data else None
        needs = tuple(data["needs"].items()) if "needs" in data else None
        return cls(limit=data.get("limit"), rate=rate, needs=needs, **keys)


class QueueRule(NamedTuple):
    """What people have said of a queue; times are seconds since the epoch, in UTC."""

    name: str
    """Empty for all queues."""
    max_running: int | None = None
    rate: Rate | None = None
    paused_at: float | None = None
    """None if it is not paused."""
    paused_by: str | None = None
    paused_why: str | None = None
    paused_until: float | None = None
    """None for as long as nobody resumes it."""

    def is_paused(self, now: float) -> bool:
        """Whether nothing of it may be claimed at that moment."""
        if self.paused_at is None:
            return False
        return self.paused_until is None or now < self.paused_until

    def says_something(self, now: float) -> bool:
        """Whether anything holds of it at that moment."""
        return self.max_running is not None or self.rate is not None or self.is_paused(now)


Resources = Mapping[str, int]
"""How much there is of each resource, by name."""


class Shortage(NamedTuple):
    """Something that keeps all that waits in a lane from being claimed."""

    kind: Literal["limit", "rate", "resource", "queue limit", "queue rate"]
    of: str
    """The key, the resource or the queue that is short."""
    most: int
    """How many may run or start, or how much there is."""
    used: int
    wanted: int = 1
    seconds: float = 0.0
    """Of a rate: how long the stretch is in which so many may start."""
    until: float | None = None
    """When it will be over; None if that depends on others."""
