"""The rules of a declaration's life, as pure functions; durations in seconds."""

from __future__ import annotations

from prokerja.backoff import doubled
from prokerja.model.declaration import Status
from prokerja.terms import NAME
from prokerja.times import written

DAY = 86400.0
MAX_RELEASES = 20
"""How often a job may come back without using an attempt, so that nothing loops for ever."""
MAX_POSTPONEMENTS = 100
"""How often a command may ask for a later attempt without using one."""
MAX_LATER = 1000
"""The same of a job that says `Later`."""
MAX_CRASHES = 5
"""How many attempts may die with their worker before the job is set aside."""
CANCELLED = "cancelled"
EXPIRED = "expired: it had not been started in time"
JITTER = 0.1
MIN_KEPT_SECONDS = 60.0
"""For which a completed job stays that its class does not keep: longer than whoever waits for it,
or depends on its result, can take to see it."""
WORKER_DIED = "its worker died while the job was running"
"""The error of an attempt that ended so."""

TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.PENDING, Status.PROCESSING),
        (Status.PENDING, Status.FAILED),
        (Status.PROCESSING, Status.COMPLETED),
        (Status.PROCESSING, Status.FAILED),
        (Status.PROCESSING, Status.PENDING),
        (Status.FAILED, Status.PENDING),
    }
)
"""Every change of status that there is; purging ends any status but processing."""


def cancelled(why: str | None) -> str:
    """The error of a job that is ended on request; raises BadOption for what is no reason."""
    if why is None:
        return CANCELLED
    NAME.check(why, "why")
    return f"{CANCELLED}: {why}"


def parent_failed(id: int) -> str:
    """The error of a job that ends because one that it depends on has failed."""
    return f"job {id}, which it waited for, failed"


def parent_purged(id: int) -> str:
    """The error of a job that ends because one that it depends on was purged while pending."""
    return f"job {id}, which it waited for, was purged"


def parent_missing(id: int) -> str:
    """The error of a job that ends because one that it depends on was not there from the first."""
    return f"job {id}, which it was to wait for, is not there"


def retry_pause(retry_after: float, attempt: int, chance: float) -> float:
    """How long to wait after failed attempt number `attempt` (from 1 since the last fresh start).

    Doubles with each attempt, at most a day, then moved by up to 10 % either way: `chance` is
    a random number in [0, 1).
    """
    return doubled(retry_after, attempt, DAY) * (1 + JITTER * (2 * chance - 1))


def may_retry(attempts: int, retries: int) -> bool:
    """Whether a job that has failed `attempts` times since its last fresh start gets another."""
    return attempts <= retries


def may_release(releases: int) -> bool:
    """Whether a job may come back once more without having used an attempt."""
    return releases < MAX_RELEASES


def may_postpone(postponed: int, most: int = MAX_POSTPONEMENTS) -> bool:
    """Whether a job that has asked for a later attempt so often before may do so once more."""
    return postponed < most


def too_late(postponed: int) -> str:
    """The error of a job that has asked for a later attempt too often."""
    return f"asked to run later once more, after {postponed:,} times without an attempt"


def unresolved(seconds: float) -> str:
    """The error of a job that has been waiting for so long to be resolved."""
    return f"nobody resolved it within {written(seconds)}"


def kept_for(status: Status, usual: float, own: float | None) -> float:
    """Seconds for which a job is kept when it has ended: `own` are those its class says, if any.

    That is about completed ones; what has failed is kept as `usual`, for people to look at.
    """
    if status is not Status.COMPLETED or own is None:
        return usual
    return max(own, MIN_KEPT_SECONDS)


def survives_crash(crashes: int) -> bool:
    """Whether a job that was running in `crashes` workers as they died is tried again."""
    return crashes <= MAX_CRASHES
