"""Tells what a worker is at, when somebody asks for it by SIGUSR2."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prokerja.worker import memory
from prokerja.worker_events import RealizerState, RunningJob, WorkerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.holds import Holds
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.turns import Turns
    from prokerja.worker_events import Event


class StateOnRequest:
    """Of one worker, by its number."""

    def __init__(
        self,
        worker: int,
        requests: StopRequests,
        pool: Pool,
        turns: Turns,
        holds: Holds,
        tell: Callable[[Event], None],
    ) -> None:
        self._worker = worker
        self._requests = requests
        self._pool = pool
        self._turns = turns
        self._holds = holds
        self._tell = tell
        self._began = time.monotonic()

    @property
    def due(self) -> float | None:
        """At once after a signal."""
        return 0.0 if self._requests.state_wanted else None

    def run(self, now: float) -> None:
        """Tell."""
        self._requests.state_wanted = False
        done, next_due = self._turns.totals.summary(), self._turns.next_due
        self._tell(
            WorkerState(
                self._worker, os.getpid(), memory.held(os.getpid()), now - self._began,
                done.completed, done.failed, done.returned,
                [self._of(process, now) for process in self._pool.processes],
                [note.text for note in self._holds.notes],
                None if next_due is None else next_due - time.time(),
                self._requests.reason,
            )
        )  # fmt: skip

    def _of(self, process: RealizerProcess, now: float) -> RealizerState:
        running = [
            RunningJob(job.id, self._pool.results.name(job), job.attempt, now - began)
            for _, job, began in process.running()
        ]
        waiting = len(process.jobs) - len(running)
        return RealizerState(process.pid, memory.held(process.pid), running, waiting)
