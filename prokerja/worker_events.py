"""What happens in a worker, for those who want to know: one class for each kind of event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerStarted:
    worker: int
    realizers: int
    queues: tuple[str, ...]
    names: tuple[str, ...]
    weights: tuple[int, ...] = ()
    """Those of the queues, if they have any."""
    watches: bool = False
    """Whether it reads job files that come later."""


@dataclass(frozen=True)
class JobsChanged:
    """The worker has other jobs than before."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class FileBroken:
    """A file of the jobs directory could not be used; the others are."""

    file: str
    error: str


@dataclass(frozen=True)
class JobsRecovered:
    """Another worker was found dead."""

    worker: int
    ended: int
    """Jobs that it had ended and not written down: settled now."""
    returned: int
    """Jobs that it held besides: put back."""


@dataclass(frozen=True)
class LockLeft:
    """A dead worker's lock file is of no use any more, and could not be deleted."""

    file: str
    error: str


@dataclass(frozen=True)
class JobStarted:
    """A job has been running for a while; short ones are only counted."""

    id: int
    name: str
    attempt: int


@dataclass(frozen=True)
class JobCompleted:
    """A job has completed that had been running for a while; short ones are only counted."""

    id: int
    name: str
    seconds: float


@dataclass(frozen=True)
class JobDescribed:
    """An attempt has begun of a job whose class says what to call it."""

    id: int
    name: str
    description: str


@dataclass(frozen=True)
class JobCancelled:
    """Somebody has cancelled a job that this worker holds, which is now to end."""

    id: int
    name: str
    error: str


@dataclass(frozen=True)
class JobSuspended:
    """A running job stands still, because somebody has asked for it."""

    id: int
    name: str


@dataclass(frozen=True)
class JobNotSuspended:
    """Somebody has asked for it, but others run beside this job in its realizer."""

    id: int
    name: str


@dataclass(frozen=True)
class JobResumed:
    """It goes on."""

    id: int
    name: str


@dataclass(frozen=True)
class JobRefused:
    """A job goes back, since the worker's class does not fit its payload, or is not there."""

    id: int
    name: str
    why: str
    """What the worker has; told of once for each job name."""


@dataclass(frozen=True)
class JobFailed:
    id: int
    name: str
    attempt: int
    """0 if it ended without having begun."""
    error: str
    retry_in: float | None
    """Seconds until it is due again; None when it has failed for good."""


@dataclass(frozen=True)
class JobPostponed:
    """A job has asked to be run later."""

    id: int
    name: str
    seconds: float


@dataclass(frozen=True)
class JobParked:
    """A job waits to be resolved."""

    id: int
    name: str
    timeout: float | None
    """For how many seconds; None for ever."""


@dataclass(frozen=True)
class HookFailed:
    """A hook of a job raised, or could not be run; it has changed nothing."""

    id: int
    name: str
    hook: str
    error: str


@dataclass(frozen=True)
class JobsSettled:
    """One turn's harvest."""

    completed: int
    failed: int
    """For good."""


@dataclass(frozen=True)
class RealizerDied:
    pid: int
    how: str


@dataclass(frozen=True)
class RealizerReplaced:
    """A job has changed its realizer's process in a way that could not be put back."""

    pid: int
    name: str
    """The job's; reported once for each."""
    what: str


@dataclass(frozen=True)
class LeftBehind:
    """A job has ended, and threads or processes that it has started have not."""

    pid: int
    """The realizer's."""
    name: str
    """The job's; reported once for each."""
    what: str
    stays: bool
    """Whether the realizer is replaced for that; if not, it was ended."""


@dataclass(frozen=True)
class RealizerOutgrown:
    """A realizer has grown beyond the memory limit, and is replaced."""

    pid: int
    name: str
    """Of the last job that it ran."""
    bytes: int
    limit: int


@dataclass(frozen=True)
class RealizerNotStarted:
    """The system had no room for one more process, or lacks what it needs; it is tried again."""

    error: str
    retry_in: float
    """Seconds until then."""


@dataclass(frozen=True)
class CodeChanged:
    """Files have changed that the realizers have loaded."""

    files: tuple[str, ...]
    error: str | None
    """Why the new code could not be loaded, so that the realizers stay; None if they go."""


@dataclass(frozen=True)
class CodeUnwatched:
    """The system does not tell of all changes to code, so the worker looks again and again."""

    error: str


@dataclass(frozen=True)
class ListenersEnded:
    """The process that runs the functions of `listeners.py` has ended, and not in good order."""

    how: str
    retry_in: float | None
    """Seconds until it is started again; None if the worker ends, too."""


@dataclass(frozen=True)
class FileUnwatched:
    """The system does not tell who writes to the file, so the worker looks again and again."""

    error: str


@dataclass(frozen=True)
class StoreTroubled:
    """A turn could not be written; it is tried again."""

    error: str


@dataclass(frozen=True)
class ResultsKept:
    """The worker leaves, and what has ended could not be written to the store."""

    kept: int
    """Jobs whose results stand beside it, for the next worker to write."""
    lost: int
    """Those that run again, since there was no room for that either."""


@dataclass(frozen=True)
class ClockJumped:
    """The clock was set while the worker was running, or the machine has slept."""

    seconds: float
    """How far forward; below zero for back."""


@dataclass(frozen=True)
class TracingFailed:
    """Spans are not received; some of them may be lost."""

    error: str


@dataclass(frozen=True)
class ClaimingHeld:
    """The worker takes no jobs until something has changed."""

    kind: str
    """Of the reason, in one word."""
    why: str


@dataclass(frozen=True)
class ClaimingResumed:
    """A reason why the worker took no jobs is gone."""

    kind: str
    still: list[str]
    """The kinds of those that are left."""


@dataclass(frozen=True)
class QueueEmptied:
    """Nothing is due and nothing runs."""


@dataclass(frozen=True)
class WorkerStopping:
    why: str
    grace: float | None
    """Seconds that running jobs have to end; None if they may finish."""
    restarts: bool = False
    """Whether it starts afresh then, as the same process."""


@dataclass(frozen=True)
class ReliefStarted:
    """Another worker takes jobs while this one finishes what runs, to start afresh."""

    pid: int


@dataclass(frozen=True)
class ReliefNotStarted:
    """The system had no room for it; it is tried again."""

    error: str
    retry_in: float
    """Seconds until then."""


@dataclass(frozen=True)
class ReliefEnded:
    """The worker that was to take jobs meanwhile has left."""

    pid: int
    how: str
    """With which exit code."""
    retry_in: float | None
    """Seconds until another one starts; None if it was not needed any longer."""


@dataclass(frozen=True)
class RunningJob:
    """A job that runs, when somebody asks."""

    id: int
    name: str
    attempt: int
    seconds: float
    """For how long it has been running."""


@dataclass(frozen=True)
class RealizerState:
    """What a realizer is at, when somebody asks."""

    pid: int
    memory: int
    """In bytes; 0 if the system does not tell."""
    running: list[RunningJob]
    waiting: int
    """Jobs that it has been sent, and has not started."""


@dataclass(frozen=True)
class WorkerState:
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


@dataclass(frozen=True)
class WorkerStopped:
    completed: int
    failed: int
    returned: int


Event = (
    WorkerStarted
    | JobsChanged
    | FileBroken
    | JobsRecovered
    | LockLeft
    | JobStarted
    | JobCompleted
    | JobDescribed
    | JobCancelled
    | JobSuspended
    | JobNotSuspended
    | JobResumed
    | JobRefused
    | JobFailed
    | JobPostponed
    | JobParked
    | HookFailed
    | JobsSettled
    | RealizerDied
    | RealizerReplaced
    | LeftBehind
    | RealizerOutgrown
    | RealizerNotStarted
    | CodeChanged
    | CodeUnwatched
    | ListenersEnded
    | FileUnwatched
    | StoreTroubled
    | ResultsKept
    | ClockJumped
    | TracingFailed
    | ClaimingHeld
    | ClaimingResumed
    | QueueEmptied
    | WorkerStopping
    | ReliefStarted
    | ReliefNotStarted
    | ReliefEnded
    | WorkerState
    | WorkerStopped
)
