"""What a worker is asked to do."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from prokerja.catalog.files import has_listeners
from prokerja.model.worker import Taking
from prokerja.settings import UNREACHABLE
from prokerja.worker.service import Service

if TYPE_CHECKING:
    from collections.abc import Collection

    from prokerja.model.flow import Resources
    from prokerja.worker.restart import Restart


OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""Variables that are for the worker alone."""


class WorkerOptions(NamedTuple):
    """Settled before a worker starts."""

    jobs: str
    """The jobs directory, empty for none; it is read unless `classes` are given."""
    classes: tuple[str, ...] = ()
    """Job classes as `module:qualified.name`."""
    directories: tuple[str, ...] = ()
    """The jobs directories whose jobs are taken to be those; of none, jobs are anyway."""
    queues: tuple[str, ...] = ()
    """The queues to take from, in this order; empty for all."""
    weights: tuple[int, ...] = ()
    """How much each of them weighs, to take from all of them in turns instead."""
    resources: Resources = MappingProxyType({})
    """How much the machine has of each resource."""
    realizers: int = 1
    until_empty: bool = False
    max_jobs: int | None = None
    grace: float = 30.0
    """Seconds that running jobs have to end after a request to stop."""
    db: str = UNREACHABLE
    """What jobs that declare by themselves take for the queue."""
    notify: tuple[tuple[str, str], ...] = ()
    """Who is told of what; see `Repository.join`."""
    tracing: str = ""
    """The seed of the ids of attempts' spans; empty if they have none."""
    service: Service = Service()
    restart: Restart | None = None
    """What starts it afresh as the same process; None where that is up to a program."""

    @property
    def is_limited(self) -> bool:
        """Whether it leaves by itself, after some jobs, some time, or all there is to do."""
        return self.until_empty or self.max_jobs is not None or self.service.max_time is not None

    @property
    def listens(self) -> bool:
        """Whether there are functions that want to hear of events."""
        return not self.classes and self.db != UNREACHABLE and has_listeners(self.jobs)

    def taking(self, names: Collection[str] = ()) -> Taking:
        """What the worker takes, if those are the jobs that it knows."""
        return Taking(self.queues, names, self.directories, self.weights, self.resources)

    def environment(self) -> dict[str, str]:
        """That of the realizers: what a job declares by itself goes where its worker looks."""
        paths = {"PROKERJA_DB": self.db}
        if self.jobs:
            paths["PROKERJA_JOBS"] = self.jobs
        kept = {name: value for name, value in os.environ.items() if name not in OF_SYSTEMD}
        return {**kept, **paths}
