"""The attempt that runs in this process, for what a job asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
    variables: Mapping[str, str] = {}
    """What a command finds in its environment beside all else."""
    peak_bytes = 0
    """Of a child that it has waited for and that was told, 0 if there was none."""
    steps: Steps
    progress: ProgressReports
    _token: tuple[int, int, str] | None = None
    """The last that was made, with the id and the attempt that it is of."""

    def of(self, job: object) -> Running:
        """The attempt that this job, or whatever was called just now, is a part of."""
        return self

    @property
    def token(self) -> str | None:
        """The attempt's token, if it has one."""
        if self._token is not None and self._token[:2] == (self.id, self.number):
            return self._token[2]
        return self.extra.token if self.extra else None

    def make_token(self) -> str:
        """The attempt's token, which is made when it is asked for."""
        token = self.token
        if token is None:
            import secrets

            token = secrets.token_urlsafe()
            self._token = self.id, self.number, token
        return token


current: Running | None = None
"""Set by whoever runs jobs."""


def running(what: str, job: object = None) -> Running:
    """The attempt that runs; raises RuntimeError, naming what was asked for, where none does.

    `job` is who asks, if it is a job: others may run beside it.
    """
    attempt = None if current is None else current.of(job)
    if attempt is None or not attempt.id:
        raise RuntimeError(f"{what} is there while a worker runs the job, and not before")
    return attempt
