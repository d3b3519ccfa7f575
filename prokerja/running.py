"""The attempt that runs in this process, for what a job asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from prokerja.model.claim import Extra

    class Steps(Protocol):
        """Does steps, each once."""

        def step(
            self, job: object, name: str, function: Callable[..., Any], args: Any, kwargs: Any
        ) -> Any: ...

    class ProgressReports(Protocol):
        """Tells how far the job has come."""

        def report(self, job: object, done: float, total: float | None, text: str) -> None: ...


class Running:
    """What is known of it; one object, which changes from one job to the next."""

    id = 0
    number = 0
    """Of the attempt, from 1."""
    extra: Extra | None = None
    """What it was given beside its payload."""
    job: object = None
    """The job itself, while it runs."""
    steps: Steps
    progress: ProgressReports


current: Running | None = None
"""Set by whoever runs jobs."""


def running(what: str) -> Running:
    """The attempt that runs; raises RuntimeError, naming what was asked for, where none does."""
    if current is None or not current.id:
        raise RuntimeError(f"{what} is there while a worker runs the job, and not before")
    return current
