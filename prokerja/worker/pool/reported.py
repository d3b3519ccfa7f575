"""What running jobs tell of themselves, until the supervisor has written it down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.model.claim import Reported
from prokerja.model.cost import Cost
from prokerja.model.progress import Progress
from prokerja.model.step import MAX_STEP_BYTES
from prokerja.terms import NAME
from prokerja.worker.pool.ending import Ending
from prokerja.worker.wire.messages import WireError

if TYPE_CHECKING:
    from collections.abc import Collection

    from prokerja.model.claim import Claimed, Outgrown
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Report

INTERVAL_SECONDS = 0.5
"""Between two turns for nothing but progress."""
NOT_OURS = "its worker does not hold its job any more"


class ReportedSoFar:
    """Steps, which somebody waits for; progress and descriptions of jobs, which can wait."""

    def __init__(self) -> None:
        self._steps: list[tuple[Claim, str, str]] = []
        self._waiting: list[tuple[RealizerProcess, Claim | None]] = []
        """Who waits for each of the steps that has come, and whose it is."""
        self._progress: dict[Claim, Progress] = {}
        self._descriptions: dict[Claim, str] = {}
        self._costs: dict[Claim, Cost] = {}
        """Of what is about to be settled."""
        self._outgrown: list[Outgrown] = []
        self._written_at = 0.0

    @property
    def due(self) -> float | None:
        """When to write it, in monotonic seconds; None if there is nothing."""
        if self._steps or self._waiting:
            return 0.0
        can_wait = self._progress or self._descriptions or self._outgrown
        return self._written_at + INTERVAL_SECONDS if can_wait else None

    def is_due(self, now: float) -> bool:
        """Whether to write it by now."""
        return self.due is not None and self.due <= now

    @property
    def reported(self) -> Reported | None:
        """All that there is to write."""
        told = self._progress, self._descriptions, self._costs
        if not (self._steps or self._outgrown or any(told)):
            return None
        progress, descriptions, costs = ([*one.items()] for one in told)
        return Reported(self._steps, progress, descriptions, costs, self._outgrown)

    def take(self, process: RealizerProcess, report: Report) -> None:
        """Take in what a realizer tells; raises WireError for what no realizer says."""
        for sequence, name, result in report.steps:
            if not NAME.fits(name) or len(result) > MAX_STEP_BYTES:
                raise WireError("it reported a step that no job could do")
            job = process.jobs.get(sequence)
            claim = None if job is None else (job.token, job.id)
            if claim is not None:
                self._steps.append((claim, name, result))
            self._waiting.append((process, claim))
        for sequence, told in report.progress:
            job = process.jobs.get(sequence)
            if job is not None:
                self._progress[job.token, job.id] = Progress(job.attempt, *told, time.time())
        for sequence, text in report.descriptions:
            job = process.jobs.get(sequence)
            if job is not None:
                self._descriptions[job.token, job.id] = text

        for sequence, peak, spent in report.costs:
            job = process.jobs.get(sequence)
            if job is not None:
                self.spent(job, Cost(peak, spent))

    def spent(self, job: Claimed, cost: Cost) -> None:
        """A job that is about to be settled has used that."""
        self._costs[job.token, job.id] = cost

    def outgrown(self, realizer: Outgrown) -> None:
        """A realizer is larger than it may be."""
        self._outgrown.append(realizer)

    def forget(self, process: RealizerProcess) -> None:
        """It is dead, and waits for nothing."""
        self._waiting = [(one, claim) for one, claim in self._waiting if one is not process]

    def written(self, lost: Collection[Claim], now: float) -> None:
        """All is written but the steps of the lost: those jobs have another worker by now."""
        for process, claim in self._waiting:
            if claim in lost:
                process.end_for(Ending.FAULTY, NOT_OURS)
                process.kill()
            else:
                process.confirm_step()
        self._steps, self._waiting, self._progress, self._descriptions = [], [], {}, {}
        self._costs, self._outgrown = {}, []
        self._written_at = now
