"""Workers, and what they take."""

from collections.abc import Collection
from types import MappingProxyType
from typing import NamedTuple

from prokerja.model.declaration import NOTIFY, SHELL, Lane
from prokerja.model.flow import Resources

SPARE_RINGS = 2
"""Journals of a worker beside one for each realizer: of those that load new code meanwhile."""


class Taking(NamedTuple):
    """What a worker takes: the one rule that decides it, for claiming as for telling why not."""

    queues: tuple[str, ...] = ()
    """In the order in which it takes from them; empty for all. Notices come last anyway."""
    names: Collection[str] | None = None
    """The jobs it knows; None for every one."""
    directories: Collection[str] | None = None
    """The jobs directories that these are from; a job of no directory is any worker's."""
    weights: tuple[int, ...] = ()
    """How much each of the queues weighs: it takes from all of them in turns. Empty: in order."""
    resources: Resources = MappingProxyType({})
    """How much its machine has of each resource."""
    notices: bool = True
    """Whether it takes notices beside its queues."""

    @property
    def weight_of(self) -> dict[str, int]:
        """The weights by queue; nothing if it takes from them in order."""
        return dict(zip(self.queues, self.weights, strict=False))

    def serves(self, queue: str) -> bool:
        """Whether it takes from that queue."""
        if queue == NOTIFY and queue not in self.queues:
            return self.notices
        return not self.queues or queue in self.queues

    def has_jobs_of(self, directory: str) -> bool:
        """Whether it takes what was declared from that jobs directory, or from none."""
        return not directory or self.directories is None or directory in self.directories

    def knows(self, name: str) -> bool:
        """Whether it has that job."""
        return self.names is None or name == SHELL or name in self.names

    def takes(self, lane: Lane) -> bool:
        """Whether what waits there is for it."""
        queue, name, _, directory, _ = lane
        return self.serves(queue) and self.knows(name) and self.has_jobs_of(directory)


class WorkerNote(NamedTuple):
    """What a worker says of itself."""

    kind: str
    """In one word; a worker says one thing of each kind."""
    since: float
    """In seconds since the epoch."""
    text: str
    holds: bool
    """Whether it takes no jobs because of it."""


class WorkerRow(NamedTuple):
    """A worker as the store knows it; whether it lives, only its lock can tell."""

    id: int
    pid: int
    started_at: float
    realizers: int
    taking: Taking
    notes: tuple[WorkerNote, ...] = ()
    """What it says of itself, by kind."""
