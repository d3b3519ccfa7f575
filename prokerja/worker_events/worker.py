"""What happens to a worker itself, and to its realizers."""

from __future__ import annotations

from msgspec import Struct


class WorkerStarted(Struct, frozen=True):
    worker: int
    realizers: int
    queues: tuple[str, ...]
    names: tuple[str, ...]
    weights: tuple[int, ...] = ()
    """Those of the queues, if they have any."""
    watches: bool = False
    """Whether it reads job files that come later."""


class JobsChanged(Struct, frozen=True):
    """The worker has other jobs than before."""

    names: tuple[str, ...]


class FileBroken(Struct, frozen=True):
    """A file of the jobs directory could not be used; the others are."""

    file: str
    error: str


class JobsRecovered(Struct, frozen=True):
    """Another worker was found dead."""

    worker: int
    ended: int
    """Jobs that it had ended and not written down: settled now."""
    returned: int
    """Jobs that it held besides: put back."""


class LockLeft(Struct, frozen=True):
    """A dead worker's lock file is of no use any more, and could not be deleted."""

    file: str
    error: str


class JobsSettled(Struct, frozen=True):
    """One turn's harvest."""

    completed: int
    failed: int
    """For good."""


class RealizerDied(Struct, frozen=True):
    pid: int
    how: str


class RealizerReplaced(Struct, frozen=True):
    """A job has changed its realizer's process in a way that could not be put back."""

    pid: int
    name: str
    """The job's; reported once for each."""
    what: str


class LeftBehind(Struct, frozen=True):
    """A job has ended, and threads or processes that it has started have not."""

    pid: int
    """The realizer's."""
    name: str
    """The job's; reported once for each."""
    what: str
    stays: bool
    """Whether the realizer is replaced for that; if not, it was ended."""


class RealizerOutgrown(Struct, frozen=True):
    """A realizer has grown beyond the memory limit, and is replaced."""

    pid: int
    name: str
    """Of the last job that it ran."""
    bytes: int
    limit: int


class RealizerNotStarted(Struct, frozen=True):
    """The system had no room for one more process, or lacks what it needs; it is tried again."""

    error: str
    retry_in: float
    """Seconds until then."""


class CodeChanged(Struct, frozen=True):
    """Files have changed that the realizers have loaded."""

    files: tuple[str, ...]
    error: str | None
    """Why the new code could not be loaded, so that the realizers stay; None if they go."""


class CodeUnwatched(Struct, frozen=True):
    """The system does not tell of all changes to code, so the worker looks again and again."""

    error: str


class ListenersEnded(Struct, frozen=True):
    """The process that runs the functions of `listeners.py` has ended, and not in good order."""

    how: str
    retry_in: float | None
    """Seconds until it is started again; None if the worker ends, too."""


class FileUnwatched(Struct, frozen=True):
    """The system does not tell who writes to the file, so the worker looks again and again."""

    error: str


class StoreTroubled(Struct, frozen=True):
    """A turn could not be written; it is tried again."""

    error: str


class ResultsKept(Struct, frozen=True):
    """The worker leaves, and what has ended could not be written to the store."""

    kept: int
    """Jobs whose results stand beside it, for the next worker to write."""
    lost: int
    """Those that run again, since there was no room for that either."""


class ClockJumped(Struct, frozen=True):
    """The clock was set while the worker was running, or the machine has slept."""

    seconds: float
    """How far forward; below zero for back."""


class TracingFailed(Struct, frozen=True):
    """Spans are not received; some of them may be lost."""

    error: str


class ClaimingHeld(Struct, frozen=True):
    """The worker takes no jobs until something has changed."""

    kind: str
    """Of the reason, in one word."""
    why: str


class ClaimingResumed(Struct, frozen=True):
    """A reason why the worker took no jobs is gone."""

    kind: str
    still: list[str]
    """The kinds of those that are left."""


class QueueEmptied(Struct, frozen=True):
    """Nothing is due and nothing runs."""


class WorkerStopping(Struct, frozen=True):
    why: str
    grace: float | None
    """Seconds that running jobs have to end; None if they may finish."""
    restarts: bool = False
    """Whether it starts afresh then, as the same process."""


class ReliefStarted(Struct, frozen=True):
    """Another worker takes jobs while this one finishes what runs, to start afresh."""

    pid: int


class ReliefNotStarted(Struct, frozen=True):
    """The system had no room for it; it is tried again."""

    error: str
    retry_in: float
    """Seconds until then."""


class ReliefEnded(Struct, frozen=True):
    """The worker that was to take jobs meanwhile has left."""

    pid: int
    how: str
    """With which exit code."""
    retry_in: float | None
    """Seconds until another one starts; None if it was not needed any longer."""


class RunningJob(Struct, frozen=True):
    """A job that runs, when somebody asks."""

    id: int
    name: str
    attempt: int
    seconds: float
    """For how long it has been running."""


class RealizerState(Struct, frozen=True):
    """What a realizer is at, when somebody asks."""

    pid: int
    memory: int
    """In bytes; 0 if the system does not tell."""
    running: list[RunningJob]
    waiting: int
    """Jobs that it has been sent, and has not started."""


class WorkerState(Struct, frozen=True):
    """What a worker is at, when somebody asks by SIGUSR2."""

    worker: int
    pid: int
    memory: int
    """Of its supervisor, in bytes."""
    seconds: float
    """For how long it has been there."""
    completed: int
    failed: int
    returned: int
    """Attempts so far."""
    realizers: list[RealizerState]
    notes: list[str]
    """What it says of itself, and why it takes no jobs."""
    due_in: float | None
    """Seconds until the next job is due that it knows of."""
    why: str
    """Why it stops; empty if it does not."""


class WorkerStopped(Struct, frozen=True):
    completed: int
    failed: int
    returned: int
