"""Has suspended jobs stand still in their realizers, and go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker_events import JobNotSuspended, JobResumed, JobSuspended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.pool.results import Results
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker_events import Event


class Standstills:
    """Among these realizers; `tell` takes events."""

    def __init__(
        self, processes: Sequence[RealizerProcess], results: Results, tell: Callable[[Event], None]
    ) -> None:
        self._processes = processes
        self._results = results
        self._tell = tell
        self._claims: Collection[Claim] = ()
        """The jobs that are to stand still, by token and id."""

    def suspend(self, claims: Collection[Claim]) -> None:
        """Have these jobs stand still as soon as they run alone, and all others go on."""
        if claims != self._claims:
            self._claims = claims
            for process in self._processes:
                self._suspend_or_resume(process)
                process.plan_check()

    def check(self, process: RealizerProcess) -> None:
        """See whether one of these jobs runs alone there by now."""
        if self._claims:
            self._suspend_or_resume(process)

    def _suspend_or_resume(self, process: RealizerProcess) -> None:
        for beside in process.refuse_suspension(self._claims):
            self._tell(JobNotSuspended(beside.id, self._results.name(beside)))
        _, job, _ = process.current()
        is_wanted = job is not None and (job.token, job.id) in self._claims
        if is_wanted == process.suspension.is_on or process.kill_at is not None:
            return
        if not is_wanted:
            process.resume()
        elif len(process.jobs) == 1:
            process.suspend()
        if job is not None and is_wanted == process.suspension.is_on:
            kind = JobSuspended if is_wanted else JobResumed
            self._tell(kind(job.id, self._results.name(job)))
