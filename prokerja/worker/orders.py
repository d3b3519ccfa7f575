"""What a worker is asked to do."""

from __future__ import annotations

from typing import NamedTuple


class Orders(NamedTuple):
    """Settled before a worker starts."""

    jobs: str
    """The jobs directory; it is read unless `classes` are given as `module:qualified.name`."""
    classes: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    """The jobs directories whose jobs are taken to be those; of none, jobs are anyway."""
    queues: tuple[str, ...] = ()
    """The queues to take from, in this order; empty for all."""
    realizers: int = 1
    until_empty: bool = False
    max_jobs: int | None = None
    grace: float = 30.0
    """Seconds that running jobs have to end after a request to stop."""
