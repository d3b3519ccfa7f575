"""Everything that can go wrong for a person, each message ending in what to do next."""

from __future__ import annotations


class ProkerjaError(Exception):
    """Did not work. Commands print the message as one line and leave with `exit_code`."""

    exit_code = 1


class RequestError(ProkerjaError):
    """The request itself is wrong: usage, an unknown job, a bad payload."""

    exit_code = 2


class UnknownJob(RequestError):
    """No job of that name is in the catalog."""


class BadPayload(RequestError):
    """The payload is not what the job takes, or not JSON."""


class BadOption(RequestError):
    """An option has a value that cannot be meant: a negative duration, a priority out of range."""


class CatalogError(RequestError):
    """The jobs directory cannot be used as it is."""


class JobsNotLoaded(CatalogError):
    """No realizer of a worker could load the jobs, which may go well another time."""

    exit_code = 1


class StoreError(ProkerjaError):
    """The database file cannot be used; nothing was changed."""


class StoreGone(StoreError):
    """The file that a worker has open was replaced, deleted, damaged or made read-only."""

    exit_code = 81

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}; {hint}")
        self.what = what
        """The same, without what to do next."""


class Outdated(StoreError):
    """A newer program has migrated the file; this one may only end what it has begun."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; upgrade this program")
        self.what = what
        """The same, without what to do next."""


class TryAgain(StoreError):
    """The store is busy or full just now; the same request may work in a moment."""

    exit_code = 75


class Busy(TryAgain):
    """Another process has been writing for as long as we could wait."""


class NotFound(ProkerjaError):
    """Nothing matches what was asked for."""


class NotAwaiting(ProkerjaError):
    """A job that is to be resolved does not wait for it."""

    def __init__(self, id: int, status: str) -> None:
        super().__init__(
            f"job {id} is not awaiting but {status}; `prokerja report:job {id}` says more"
        )
        self.status = status


class NotRunning(ProkerjaError):
    """The job is not running, or not suspended, so it cannot be suspended or resumed."""


class NotPaused(ProkerjaError):
    """A queue that is to be resumed is not paused."""


class NotEnded(ProkerjaError):
    """A job has no result yet."""


class JobFailed(ProkerjaError):
    """A job that was to give a result has failed for good."""

    def __init__(self, id: int, error: str) -> None:
        super().__init__(id, error)
        self.id = id
        self.error = error
        """Of its last attempt."""

    def __str__(self) -> str:
        why = self.error.partition("\n")[0]
        return f"job {self.id} failed: {why}; `prokerja report:job {self.id}` shows its attempts"


class ResultCut(ProkerjaError):
    """A job has completed, but its result was too long to be kept whole."""


class FileInTheWay(ProkerjaError):
    """A file that is to be written is there, and differs."""


class WaitedTooLong(ProkerjaError):
    """A wait ran out of time."""

    exit_code = 124
