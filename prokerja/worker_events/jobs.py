"""What happens to the jobs of a worker; `id` is the job's, and `name` that of its kind."""

from __future__ import annotations

from msgspec import Struct


class JobStarted(Struct, frozen=True):
    """A job has been running for a while; short ones are only counted."""

    id: int
    name: str
    attempt: int


class JobCompleted(Struct, frozen=True):
    """A job has completed that had been running for a while; short ones are only counted."""

    id: int
    name: str
    seconds: float


class JobDescribed(Struct, frozen=True):
    """An attempt has begun of a job whose class says what to call it."""

    id: int
    name: str
    description: str


class JobCancelled(Struct, frozen=True):
    """Somebody has cancelled a job that this worker holds, which is now to end."""

    id: int
    name: str
    error: str


class JobSuspended(Struct, frozen=True):
    """A running job stands still, because somebody has asked for it."""

    id: int
    name: str


class JobNotSuspended(Struct, frozen=True):
    """Somebody has asked for it, but others run beside this job in its realizer."""

    id: int
    name: str


class JobResumed(Struct, frozen=True):
    """It goes on."""

    id: int
    name: str


class JobRefused(Struct, frozen=True):
    """A job goes back, since the worker's class does not fit its payload, or is not there."""

    id: int
    name: str
    why: str
    """What the worker has; told of once for each job name."""


class JobFailed(Struct, frozen=True):
    id: int
    name: str
    attempt: int
    """0 if it ended without having begun."""
    error: str
    retry_in: float | None
    """Seconds until it is due again; None when it has failed for good."""


class JobPostponed(Struct, frozen=True):
    """A job has asked to be run later."""

    id: int
    name: str
    seconds: float


class JobParked(Struct, frozen=True):
    """A job waits to be resolved."""

    id: int
    name: str
    timeout: float | None
    """For how many seconds; None for ever."""


class HookFailed(Struct, frozen=True):
    """A hook of a job raised, or could not be run; it has changed nothing."""

    id: int
    name: str
    hook: str
    error: str
