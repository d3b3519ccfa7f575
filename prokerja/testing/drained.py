"""What `drain()` has done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from prokerja.verdicts import Completed, Parked, Postponed, Released

if TYPE_CHECKING:
    from prokerja.model.claim import Claimed, FailedAttempt
    from prokerja.verdicts import Verdict

Outcome = Literal["completed", "failed", "retrying", "later", "awaiting", "refused"]
OUTCOMES: dict[type, Outcome] = {
    Completed: "completed", Postponed: "later", Parked: "awaiting", Released: "refused",
}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """What was done with a job."""

    id: int
    job: str
    """The name of its class."""
    number: int
    """From 1; 0 for a job that has ended without having begun."""
    outcome: Outcome
    """`failed` is for good; what is `refused` does not fit its class, and waits."""
    error: str | None = None


@dataclass(frozen=True)
class Drained:
    """What one `drain()` has done."""

    attempts: list[Attempt] = field(default_factory=list)
    """In their order."""
    hook_errors: list[str] = field(default_factory=list)
    """What went wrong in hooks; it has changed nothing."""

    def ids(self, outcome: Outcome) -> list[int]:
        """The jobs that have had such an outcome, each once, in order."""
        return list(dict.fromkeys(one.id for one in self.attempts if one.outcome == outcome))

    def note(self, job: Claimed, name: str, verdict: Verdict, failed: FailedAttempt | None) -> None:
        """An attempt has come to this; `failed` says more of one that has failed."""
        if failed is not None:
            self.note_failed(failed, name)
        elif outcome := OUTCOMES.get(type(verdict)):
            refusal = verdict.refusal if isinstance(verdict, Released) else None
            why = f"this process {refusal.why}" if refusal else None
            self.attempts.append(Attempt(job.id, name, job.attempt, outcome, why))

    def note_failed(self, failed: FailedAttempt, name: str) -> None:
        """An attempt has failed, or a job without one."""
        outcome: Outcome = "failed" if failed.retry_at is None else "retrying"
        self.attempts.append(Attempt(failed.id, name, failed.number, outcome, failed.error))
