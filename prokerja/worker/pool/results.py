"""What comes of the jobs that realizers were sent, until the supervisor has written it down."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from prokerja.verdicts import OWED, Failed, HooksEnded, Refusal, Released, Settlement, Verdict
from prokerja.worker.pool.durations import Durations
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.exits import (
    Exit,
    after_exit,
    checked_end,
    from_journal,
)
from prokerja.worker.wire.messages import WireError
from prokerja.worker_events import HookFailed, JobRefused, RealizerDied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.model.claim import Claimed, Extra
    from prokerja.verdicts import Ended
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Report
    from prokerja.worker_events import Event

    Lost = Callable[[Claimed, str, Extra | None, Exit, Failed | Released], None]

MAX_TEXT = 1000
"""Characters of what a realizer says of a job that it cannot run."""


class Results:
    """Settlements by token, long jobs that have started, and jobs that no realizer has any more."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self.job_names: dict[int, str] = {}
        """By lane, as far as they were met."""
        self.durations = Durations(self.job_names)
        self.extras: dict[Claim, Extra] = {}
        """What else some of the jobs in hand are given."""
        self.settlements: defaultdict[int, list[Settlement]] = defaultdict(list)
        self.started: list[tuple[Claimed, float]] = []
        """Long jobs and when they began, in seconds since the epoch."""
        self.unassigned: list[Claimed] = []
        """Claimed, but no realizer has them just now."""
        self.lost: Lost | None = None
        """Told of jobs that were running when their realizers died."""
        self.refused: set[tuple[str, str]] = set()
        """Jobs that a realizer turned out not to be able to run, and why; told of once."""

    def name(self, job: Claimed) -> str:
        """The job's name."""
        return self.job_names.get(job.lane, "?")

    def settle(self, job: Claimed, verdict: Verdict) -> None:
        """Keep what came of a job."""
        if self.extras:
            extra = self.extras.pop((job.token, job.id), None)
            if extra is not None and extra.hooks is not None and extra.hooks.ended is not None:
                verdict = self._hooks_ended(job, verdict)
        self.settlements[job.token].append((job.id, job.lane, verdict))

    def has_ended(self, job: Claimed) -> bool:
        """Whether it is only to be told of its end."""
        extra = self.extras.get((job.token, job.id))
        return extra is not None and extra.hooks is not None and extra.hooks.ended is not None

    def _hooks_ended(self, job: Claimed, verdict: Verdict) -> HooksEnded:
        """What came of the hooks of a job that had ended before."""
        if isinstance(verdict, HooksEnded):
            return verdict
        now, counted = time.time(), True
        if isinstance(verdict, Released):
            counted = verdict.counted or verdict.refusal is not None
        elif isinstance(verdict, Failed):
            self._tell(HookFailed(job.id, self.name(job), "hooks", verdict.error))
        return HooksEnded(now, now, have_run=False, counted=counted)

    def clear_written(self) -> None:
        """All that came back, or has started, is written down."""
        self.settlements.clear()
        self.started.clear()

    def take_started(self, job: Claimed, since: float) -> None:
        """A job is seen to be long; it has run since that monotonic second."""
        self.started.append((job, time.time() - (time.monotonic() - since)))

    def take_ended(self, process: RealizerProcess, ended: Sequence[tuple[int, Ended]]) -> None:
        """Jobs have ended; raises WireError, and settles none, for what no job could leave."""
        for _, end in ended:
            checked_end(end)
        took: defaultdict[int, list[float]] = defaultdict(list)
        jobs = process.finish([sequence for sequence, _ in ended])
        for job, (sequence, end) in zip(jobs, ended, strict=True):
            if job is not None:
                took[job.lane].append(end.finished_at - end.started_at)
                self._settle_ended(process, sequence, job, end)
        for lane, seconds in took.items():
            self.durations.learn(lane, sum(seconds) / len(seconds))

    def take_refused(self, process: RealizerProcess, report: Report) -> None:
        """A realizer has not begun some jobs; raises WireError if it had no reason."""
        if not process.spoiled and any(map(process.has_to_do, report.dropped)):
            raise WireError("it returned jobs that were not revoked")
        self.unassigned += filter(None, process.finish(report.dropped))
        for job in filter(None, process.finish(report.unknown)):
            self._refuse(process, job, Refusal(f"has no {self.name(job)}", ""))
        jobs = process.finish([sequence for sequence, _ in report.unfit])
        for unfit, (_, refusal) in zip(jobs, report.unfit, strict=True):
            if unfit is not None:
                self._refuse(process, unfit, Refusal(*(text[:MAX_TEXT] for text in refusal)))

    def take_exit(self, process: RealizerProcess, exit: Exit) -> None:
        """A realizer is dead: settle what it had in flight."""
        self._take_journalled(process)
        ending, jobs, running, how = process.ending, process.jobs, exit.running, exit.how
        is_orderly = ending is not None and ending.is_orderly
        if running in jobs if is_orderly else ending is not Ending.CUT_SHORT:
            self._tell(RealizerDied(process.pid, how))
        if running < 1 and exit.last_begun in jobs:
            running, how = exit.last_begun, f"{how}, and never reported what came of the job"
        cut = process.cuts.get(running)
        if cut is not None and running in jobs:
            exit = exit._replace(how=cut.error, running=running, advice=cut.advice, kind=cut.kind)
        else:
            excused = is_orderly or ending is Ending.CUT_SHORT
            kind = "interrupted" if excused else exit.kind
            exit = exit._replace(how=how, running=running, excused=excused, kind=kind)
        for sequence, job in jobs.items():
            own = process.exit_for(sequence, exit)
            verdict = after_exit(sequence, own)
            if verdict is None:
                self.unassigned.append(job)
            else:
                if self.lost is not None and sequence == own.running:
                    extra = self.extras.get((job.token, job.id))
                    self.lost(job, self.name(job), extra, own, verdict)
                self.settle(job, verdict)

    def _refuse(self, process: RealizerProcess, job: Claimed, refusal: Refusal) -> None:
        """A realizer cannot run it; nor can this worker, unless others have loaded newer files."""
        if process.outdated:
            self.settle(job, Released(counted=False))
            return
        self.settle(job, Released(counted=False, refusal=refusal))
        name = self.name(job)
        if (name, refusal.why) not in self.refused:
            self.refused.add((name, refusal.why))
            self._tell(JobRefused(job.id, name, refusal.why))

    def _settle_ended(
        self, process: RealizerProcess, sequence: int, job: Claimed, ended: Ended
    ) -> None:
        if (cut := process.cuts.get(sequence)) is not None:
            if getattr(ended, "told", None) == OWED:  # it had ended before
                self._tell(HookFailed(job.id, self.name(job), "hooks", cut.error))
            else:
                ended = cut.verdict(ended)
            process.end_cut()
        self.settle(job, ended)

    def _take_journalled(self, process: RealizerProcess) -> None:
        """Settle what a dead realizer had ended and not reported."""
        journalled = process.journalled()
        for sequence, job in list(process.jobs.items()):
            ended = from_journal(journalled.get((job.token, job.id)))
            if ended is not None:
                del process.jobs[sequence]
                self._settle_ended(process, sequence, job, ended)
