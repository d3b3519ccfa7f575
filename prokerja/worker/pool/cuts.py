"""Ends what realizers run beyond its limit, what is cancelled, and whoever of them hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.verdicts import Advice
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.exits import Cut, too_long
from prokerja.worker_events import JobCancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prokerja.model.claim import Cancellation, Claimed
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.pool.results import Results
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker_events import Event

KILL_AFTER_TERM_SECONDS = 5.0
"""Between asking a job and all it has started to end, and killing them."""
SILENT = "it said nothing for too long, and was killed"


class Cuts:
    """Among these realizers; `tell` takes events."""

    def __init__(
        self, processes: Sequence[RealizerProcess], results: Results, tell: Callable[[Event], None]
    ) -> None:
        self._processes = processes
        self._results = results
        self._tell = tell
        self._cancelled: dict[Claim, str] = {}
        """The errors with which claimed jobs are to end, by token and id."""

    def is_cancelled(self, job: Claimed) -> bool:
        """Whether a job is to be ended."""
        return (job.token, job.id) in self._cancelled

    def cancel(self, cancellations: Iterable[Cancellation], now: float) -> None:
        """End these jobs, of all that are to be ended, wherever they are."""
        before = self._cancelled
        self._cancelled = {(one.token, one.id): one.error for one in cancellations}
        for process in self._processes if self._cancelled.keys() - before else ():
            for job in process.jobs.values():
                claim = (job.token, job.id)
                if claim in self._cancelled and claim not in before:
                    name = self._results.name(job)
                    self._tell(JobCancelled(job.id, name, self._cancelled[claim]))
                    process.revoke()  # it may not have been started yet
                    process.check_at = now

    def end_where_due(self, process: RealizerProcess, now: float) -> None:
        """End what has broken its limit there, was cancelled, or hangs."""
        if process.ending is None and (cuts := self._due(process, now)):
            for cut in cuts:
                process.cut_short(cut, KILL_AFTER_TERM_SECONDS)
        elif process.give_up(now, KILL_AFTER_TERM_SECONDS):
            pass  # it has been asked to end
        elif process.kill_at is not None and now >= process.kill_at:
            process.kill()
        elif not process.ready:
            seconds = process.loading_seconds
            process.end_for(Ending.FAULTY, f"importing took longer than {seconds:g} s")
            process.kill()
            process.check_at = process.kill_at
        elif process.is_silent(now):
            process.end_for(Ending.FAULTY, SILENT)
            process.kill()

    def _due(self, process: RealizerProcess, now: float) -> list[Cut]:
        """What ends its running jobs, where anything does.

        A cancelled job may be about to end by itself: it has to be alone, so that the end of its
        process can hit no other.
        """
        cuts = []
        for sequence, job, since in process.running():
            error = self._cancelled.get((job.token, job.id))
            if sequence in process.cuts:
                continue
            if error is not None and process.is_alone(sequence):
                cuts.append(Cut(sequence, error, Advice.NEVER))
            elif job.timeout is not None and now - since >= job.timeout:
                cuts.append(Cut(sequence, too_long(job)))
        return cuts
