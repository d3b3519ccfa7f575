"""What supervisor and realizer say to each other."""

from __future__ import annotations

from typing import Annotated

import msgspec

from prokerja.spec import JobSpec

Moment = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]
"""Seconds since the epoch, in a year that can be told."""


class WireError(Exception):
    """The other side wrote something that is no frame of ours."""


class Broken(msgspec.Struct, array_like=True):
    """A file of the jobs directory that could not be used."""

    file: str
    error: str


class Failure(msgspec.Struct, array_like=True):
    """A job that raised."""

    sequence: int
    started_at: Moment
    finished_at: Moment
    error: str
    traceback: str | None


class FollowUp(msgspec.Struct, array_like=True):
    """A declaration made by a job that has completed."""

    queue: str
    name: str
    priority: int
    payload: str
    due_at: float
    retries: int
    retry_after: float
    timeout: float | None
    directory: str = ""

    @property
    def terms(self) -> tuple[str, float, int, float, float | None]:
        """All but the lane."""
        return self.payload, self.due_at, self.retries, self.retry_after, self.timeout


Done = tuple[int, Moment, Moment, str | None, list[FollowUp]]
"""Sequence number, start, end, result as JSON, and what the job has declared."""


class Report(msgspec.Struct, array_like=True, omit_defaults=True):
    """Realizer to supervisor: what has come of its jobs since the last report."""

    completed: list[Done] = []
    failed: list[Failure] = []
    dropped: list[int] = []
    """Jobs it did not start, since they were taken back."""
    unknown: list[int] = []
    """Jobs it did not start, since it has no such class."""
    ready: bool = False
    """The first report of all: the jobs are loaded."""
    specs: list[JobSpec] = []
    broken: list[Broken] = []
    stamps: dict[str, str] = {}
    """Of the files of the jobs directory, from before they were imported."""
    loading: str = ""
    """The job file that is about to be imported."""
    pid: int = 0
    """The realizer's own, once it is ready."""
    spoiled: tuple[str, str] | None = None
    """The job that has changed its process for good, and what: it drops what it has in hand."""


class Work(msgspec.Struct, array_like=True):
    """Supervisor to realizer: jobs to do, numbered from `first` on."""

    first: int
    names: dict[int, str]
    """Job names by lane."""
    jobs: list[tuple[tuple[int, int], int, str]]
    """The claim's token with the declaration's id, lane, payload."""


class Launch(msgspec.Struct):
    """Supervisor to realizer, on its command line: where to read, write and import from."""

    channel: int
    """Descriptors that it inherits."""
    board: int
    lifeline: int
    nudge: int
    lock: int
    """The worker's lock, held by having it open, and the file for notes; -1 for none."""
    ring: int
    """Where in that file this realizer's notes go."""
    jobs: str
    """The jobs directory; it is read unless `classes` are given."""
    classes: list[str]
    """Job classes to import, as `module:qualified.name`."""
    path: list[str]
    """Where the supervisor imports from."""

    @property
    def own(self) -> tuple[int, ...]:
        """The descriptors that are nobody else's."""
        return self.channel, self.board, self.lifeline, self.nudge
