"""From what a realizer says, or leaves unsaid by dying, to what is written down."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja.errors import BadOption
from prokerja.model import Completed, Declaration, Failed, Lane, Returned, Verdict
from prokerja.request import checked
from prokerja.worker.wire.messages import Failure, FollowUp, WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.model import Claimed
    from prokerja.worker.wire.messages import Done


class Death(NamedTuple):
    """How a realizer ended, and the job it was at."""

    how: str
    at: int
    """Sequence number of that job; none is below 1."""
    began: float
    """When it began, in monotonic seconds."""
    excused: bool
    """Whether we ended it in an orderly stop, which is no fault of the job's."""


def follow_ups(made: Sequence[FollowUp]) -> tuple[Declaration, ...]:
    """What a job has declared; raises WireError for what no job could declare."""
    return tuple(map(_declaration, made)) if made else ()


def failed(ids: tuple[int, int], failure: Failure) -> Failed:
    """A job, known by its own id and its lane's, raised."""
    times = (failure.started_at, failure.finished_at)
    return Failed(*ids, *times, failure.error, failure.traceback)


def by_note(ids: tuple[int, int], noted: Done | Failure) -> Completed | Failed | None:
    """How a job ended whose realizer died; None for a note that no realizer of ours would make."""
    if isinstance(noted, Failure):
        return failed(ids, noted)
    _, began, ended, result, made = noted
    with contextlib.suppress(WireError):
        return Completed(*ids, began, ended, result, follow_ups(made))
    return None


def overdue(verdict: Completed | Failed, job: Claimed) -> Failed:
    """A job ended after its limit: that is what it failed of, whatever it says itself."""
    return Failed(*job.ids, verdict.started_at, verdict.finished_at, too_long(job))


def died(job: Claimed, sequence: int, death: Death) -> Verdict | None:
    """What becomes of a job in a dead realizer's hands; None if it was certainly not begun."""
    if sequence > death.at > 0:
        return None
    if sequence < death.at or death.at < 1 or death.excused:
        # Ended, perhaps, in the moment before a note, or with a result too long for one; or cut
        # short by us. The last that was begun is not among them: it may be what killed it.
        return Returned(*job.ids, free=True)
    now = time.time()
    return Failed(*job.ids, now - (time.monotonic() - death.began), now, death.how)


def too_long(job: Claimed) -> str:
    """The error of a job that has broken its time limit."""
    return f"ran longer than {job.timeout:g} s"


def in_words(code: int, *, ours: bool) -> str:
    """A process's end, from its exit code as `subprocess` gives it; `ours` if we killed it."""
    if code >= 0:
        return f"its process ended with exit status {code} in the middle of the job"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    reason = signal.strsignal(-code) or "unknown"
    unknown = -code == signal.SIGKILL and not ours
    hint = ", possibly by the kernel's out-of-memory killer" if unknown else ""
    return f"its process was killed by {name} ({reason}){hint}"


def _declaration(follow_up: FollowUp) -> Declaration:
    lane = Lane(follow_up.queue, follow_up.name, follow_up.priority, follow_up.directory)
    try:
        return checked(Declaration(lane, *follow_up.terms))
    except BadOption as error:
        raise WireError(str(error)) from None
