"""What becomes of a job, from what a realizer tells or leaves untold by dying."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja import sizes
from prokerja.declaring import checked
from prokerja.errors import BadOption
from prokerja.exit_codes import signal_name
from prokerja.verdicts import Advice, Completed, Ended, Failed, Released
from prokerja.worker.wire.messages import WireError

if TYPE_CHECKING:
    from prokerja.model.claim import Claimed
    from prokerja.model.cost import Cost


OOM = "out_of_memory"
"""Why a process was killed, in one word."""


class Cut(NamedTuple):
    """A running job that we end, and what it fails of then, whatever it says itself."""

    sequence: int
    error: str
    advice: Advice = Advice.NONE

    @property
    def kind(self) -> str:
        """The error in one word."""
        return "cancelled" if self.advice is Advice.NEVER else "timeout"

    def verdict(self, ended: Ended) -> Failed:
        """What came of the job, whatever it reported itself."""
        return Failed(ended.started_at, ended.finished_at, self.error, advice=self.advice)


class Exit(NamedTuple):
    """How a realizer ended, and the job that it was running."""

    how: str
    running: int
    """Sequence number of that job; none is below 1."""
    began: float
    """When it began, in monotonic seconds."""
    last_begun: int
    """Sequence number of the last job that was begun, ended or not; 0 for none."""
    excused: bool = False
    """Whether it ended for a reason that is no fault of that job's."""
    advice: Advice = Advice.NONE
    kind: str = "died"
    """Why it ended, in one word."""
    cost: Cost | None = None
    """What that job has used, if it took more than a moment."""


def checked_end(ended: Ended) -> Ended:
    """What a realizer tells; raises WireError for follow-ups that no job could declare."""
    if isinstance(ended, Completed) and ended.follow_ups:
        try:
            ended.follow_ups = tuple(map(checked, ended.follow_ups))
        except BadOption as error:
            raise WireError(str(error)) from None
    return ended


def from_journal(ended: Ended | None) -> Ended | None:
    """How a job ended whose realizer died; None for an entry that none of ours would make."""
    try:
        return checked_end(ended) if ended is not None else None
    except WireError:
        return None


def after_exit(sequence: int, exit: Exit) -> Failed | Released | None:
    """What becomes of a job that a dead realizer had; None if it was certainly not begun."""
    if sequence > exit.running > 0:
        return None
    if sequence < exit.running or exit.running < 1 or exit.excused:
        # Ended, perhaps, in the moment before it was written to the journal, or with a result too
        # long for one; or cut short by us. The last that was begun is not among them: it may be
        # what killed it.
        return Released(counted=True)
    now = time.time()
    began = now - (time.monotonic() - exit.began)
    return Failed(began, now, exit.how, advice=exit.advice)


def too_long(job: Claimed) -> str:
    """The error of a job that has broken its time limit."""
    return f"ran longer than {job.timeout:g} s"


def too_low(limit: int, size: int) -> BadOption:
    """The error of a worker of which no realizer can keep within the memory limit."""
    return BadOption(
        f"the memory limit of {sizes.human(limit)} is below the {sizes.human(size)} that a realizer"
        " holds once it has loaded the jobs; give more"
    )


def describe_exit(code: int, *, killed: bool, oom: str = "") -> str:
    """A process's end, from its exit code as `subprocess` gives it.

    `killed` if we did that; `oom` is what is to be said if it was killed for memory.
    """
    if oom:
        return f"its process was {oom}"
    if code >= 0:
        return f"its process ended with exit status {code} in the middle of the job"
    unknown = -code == signal.SIGKILL and not killed
    hint = ", possibly by the kernel's out-of-memory killer" if unknown else ""
    return f"its process was killed by {signal_name(-code)}{hint}"
