"""What happens in a worker, for those who want to know: one class for each kind of event.

Structs, since to make 40 dataclasses takes 20 ms of a worker's start.
"""

from prokerja.worker_events.jobs import (
    HookFailed,
    JobCancelled,
    JobCompleted,
    JobDescribed,
    JobFailed,
    JobNotSuspended,
    JobParked,
    JobPostponed,
    JobRefused,
    JobResumed,
    JobStarted,
    JobSuspended,
)
from prokerja.worker_events.worker import (
    ClaimingHeld,
    ClaimingResumed,
    ClockJumped,
    CodeChanged,
    CodeUnwatched,
    FileBroken,
    FileUnwatched,
    JobsChanged,
    JobsRecovered,
    JobsSettled,
    LeftBehind,
    ListenersEnded,
    LockLeft,
    QueueEmptied,
    RealizerDied,
    RealizerNotStarted,
    RealizerOutgrown,
    RealizerReplaced,
    RealizerState,
    ReliefEnded,
    ReliefNotStarted,
    ReliefStarted,
    ResultsKept,
    RunningJob,
    StoreTroubled,
    TracingFailed,
    WorkerStarted,
    WorkerState,
    WorkerStopped,
    WorkerStopping,
)

__all__ = [
    "ClaimingHeld",
    "ClaimingResumed",
    "ClockJumped",
    "CodeChanged",
    "CodeUnwatched",
    "Event",
    "FileBroken",
    "FileUnwatched",
    "HookFailed",
    "JobCancelled",
    "JobCompleted",
    "JobDescribed",
    "JobFailed",
    "JobNotSuspended",
    "JobParked",
    "JobPostponed",
    "JobRefused",
    "JobResumed",
    "JobStarted",
    "JobSuspended",
    "JobsChanged",
    "JobsRecovered",
    "JobsSettled",
    "LeftBehind",
    "ListenersEnded",
    "LockLeft",
    "QueueEmptied",
    "RealizerDied",
    "RealizerNotStarted",
    "RealizerOutgrown",
    "RealizerReplaced",
    "RealizerState",
    "ReliefEnded",
    "ReliefNotStarted",
    "ReliefStarted",
    "ResultsKept",
    "RunningJob",
    "StoreTroubled",
    "TracingFailed",
    "WorkerStarted",
    "WorkerState",
    "WorkerStopped",
    "WorkerStopping",
]

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
