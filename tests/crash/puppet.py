"""A pool whose realizers are played by the fuzzer, with a real store behind it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from prokerja.errors import CatalogError
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Want
from prokerja.worker.output.pump import Pump
from prokerja.worker.pool.pool import Pool
from prokerja.worker.pool.process import RealizerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = 6
"""In flight before it speaks."""
NOW = 1_700_000_000.0


class Nobody:
    """In place of a process."""

    def __init__(self, words: Any, **options: Any) -> None:
        self.pid = os.getpid()
        self.returncode = -9
        self.fds = options["pass_fds"]
        self.theirs = os.dup(self.fds[0])

    def wait(self, timeout: float) -> int:
        """It was never there."""
        return self.returncode


class Puppet:
    """One pool of one realizer; `with Puppet() as puppet`."""

    def __init__(self) -> None:
        self._pump = Pump(io.BytesIO(), None, 0, verbose=False)
        self.repository = SQLiteRepository(":memory:")
        self.pool = Pool(1, self._start, lambda process: None, lambda event: None, 30.0)
        self.pool.has_loaded = True
        lane = Lane("default", "noop", 0)
        made = [Declaration(lane, "{}", NOW, n % 3, 1.0, None) for n in range(JOBS)]
        self.repository.declarations.add(made, NOW)
        self._turn = TURNS
        self.pool.run(0.0)
        self.process = self.pool.processes[0]
        self.line = socket.socket(fileno=self.process._process.theirs)  # type: ignore[attr-defined]
        self.process.ready = True

    def say(self, frame: bytes, page: tuple[int, int]) -> None:
        """Let the realizer write this, and the supervisor act upon it as it does each turn."""
        self._take()
        self.process.page.cells[0], self.process.page.cells[1] = page
        self.line.send(frame)
        pool = self.pool
        try:
            pool.receive(self.process)
            for process in pool.processes:
                process.check_at = 0.0
            pool.run(1e18)
            assert pool.due is None or pool.due > 0
        except CatalogError:
            return  # it gives up in good order when no realizer can load the jobs
        self._settle()

    def close(self) -> None:
        """Let go of everything."""
        self.pool.stopping = True
        for process in list(self.pool.processes):
            self.pool.processes.remove(process)
            process.reap()
        self.line.close()
        self.repository.close()
        self._pump.stop(1.0)

    def _start(self, ring: int) -> RealizerProcess:
        with patch.object(subprocess, "Popen", Nobody):
            return RealizerProcess("", (), -1, ring, self._pump)

    def _take(self) -> None:
        pool = self.pool
        self._turn += 1
        with self.repository.database.writing():
            want = Want(Taking(), pool.assign)
            for waiting in self.repository.claims.claiming.claim(self._turn, want, NOW + 1e9).lanes:
                pool.results.job_names[waiting.id] = waiting.lane.name
        pool.send()

    def _settle(self) -> None:
        """As the supervisor does."""
        pool, claims = self.pool, self.repository.claims
        pool.reassign()
        with self.repository.database.writing():
            for job, since in pool.results.started:
                claims.started(job.token, [(job.id, since)])
            reported = pool.reported.reported
            lost = claims.report(reported, NOW) if reported else []
            for token, settlements in pool.results.settlements.items():
                claims.settle(token, settlements, NOW, lambda: 0.5)
        pool.results.clear_written()
        pool.reported.written(lost, 0.0)


@contextmanager
def puppet() -> Iterator[Puppet]:
    """One, for a while."""
    one = Puppet()
    try:
        yield one
    finally:
        one.close()
