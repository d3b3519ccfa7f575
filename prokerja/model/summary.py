"""How many declarations stand where; times are seconds since the epoch, in UTC."""

from typing import NamedTuple

from prokerja.model.declaration import Status
from prokerja.model.flow import QueueRule
from prokerja.model.worker import WorkerRow


class Tally(NamedTuple):
    """How many declarations of each status one queue holds."""

    queue: str
    pending: int
    processing: int
    completed: int
    failed: int
    awaiting: int = 0
    """Of those that are processing, how many wait to be resolved."""

    def counts(self) -> dict[str, int]:
        """The numbers by status."""
        return {status.value: getattr(self, status.value) for status in Status}


class Summary(NamedTuple):
    """The counts of a store, or of one of its queues."""

    queues: list[Tally]
    due_since: dict[str, float]
    """When the longest-waiting due job of each queue that has one became due."""
    workers: list[WorkerRow]
    """Those that are alive."""
    now: float
    rules: tuple[QueueRule, ...] = ()
    """What people have said of these queues, and of all of them, by name."""

    @property
    def paused(self) -> list[QueueRule]:
        """The pauses that hold, that of all queues first."""
        return [rule for rule in self.rules if rule.is_paused(self.now)]

    @property
    def waiting_since(self) -> float | None:
        """When the longest-waiting due job of all became due."""
        return min(self.due_since.values(), default=None)

    @property
    def total(self) -> Tally:
        """All queues taken together."""
        sums = (sum(column) for column in zip(*(tally[1:] for tally in self.queues), strict=True))
        return Tally("", *sums) if self.queues else Tally("", 0, 0, 0, 0)
