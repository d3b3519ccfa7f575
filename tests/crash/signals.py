"""Signals at random moments: no job is lost, and only what an urgent stop has interrupted repeats.

Workers that start, work, stop and start afresh are sent every signal that they know, while jobs
keep coming. The book of those jobs tells what was really run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import closing, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from inotify_simple import INotify, flags

from prokerja.exit_codes import WATCHDOG
from prokerja.queue import Queue
from prokerja.worker.duties.signals import HANDLED
from tests.crash.book import RETURNING, read
from tests.crash.jobs.mark import Mark
from tests.crash.ledger import Broken, Ledger
from tests.crash.site import Site
from tests.harness.processes import children

if TYPE_CHECKING:
    import subprocess

    from tests.crash.book import Run

FULL, SHORT = (12_000, 1000), (600, 40)
"""Jobs and signals of one run."""
WORKERS = 3
SIGNALS = {
    signal.SIGHUP: 8, signal.SIGUSR1: 4, signal.SIGUSR2: 4,
    signal.SIGINT: 3, signal.SIGTERM: 3, signal.SIGQUIT: 1, signal.SIGABRT: 1,
}  # fmt: skip
"""What is sent, and how often compared with the others."""
URGENT = (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT)
"""What may interrupt a job; the grace time is none."""
STOPPING = (*URGENT, signal.SIGINT)
AT_WORK = 0.6
"""How often a signal comes after a sign of work; otherwise, it comes anyhow."""
PAUSE = 0.05
"""Seconds between a sign of work and the next signal, at most."""
LOST_SIGHT = 30.0
"""Seconds after which a worker that is to leave is taken to hang."""
LEFT = {0, WATCHDOG}
UNREADY = {-signal.SIGTERM, -signal.SIGHUP, -signal.SIGUSR1, -signal.SIGUSR2, -signal.SIGQUIT}
"""How a program ends that has not begun to be a worker."""


class Squall:
    """Workers that are sent signals while jobs keep coming."""

    def __init__(self, site: Site, seed: int, jobs: int, signals: int, ledger: Ledger) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._jobs = jobs
        self._signals = signals
        self._ledger = ledger
        self._declared = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._unready: set[int] = set()
        """Processes that were sent something before they had begun to be workers."""
        self.stopped: dict[int, float] = {}
        """When each worker was first asked to stop in a hurry, in monotonic seconds."""
        self._news = INotify(nonblocking=False)
        self._news.add_watch(site.book, flags.MODIFY)

    def rage(self) -> None:
        """Send so many signals."""
        with closing(Queue(self._site.db)) as queue:
            for left in range(self._signals, 0, -1):
                self._declare(queue, (self._jobs - self._declared) // left)
                self._keep_up()
                if self._random.random() < AT_WORK:
                    self._news.read(timeout=0)  # what is old is no sign
                    self._news.read(timeout=1000)
                time.sleep(self._random.random() * PAUSE)
                self._signal()
        self._news.close()

    def calm(self) -> None:
        """Let the workers leave, and one last worker realize all that is left."""
        for worker in self._workers:
            if not _is_worker(worker.pid):
                self._unready.add(worker.pid)
            self._hurry(worker.pid)
            worker.terminate()
            self._hurry(worker.pid)
        for worker in [*self._workers, *self._leaving]:
            self._bury(worker, worker.wait(LOST_SIGHT))
        last = self._site.start("realization:start", "--until-empty", "--realizers", "2")
        if last.wait(600):
            raise Broken(f"the last worker left with {last.returncode}: {self._site.said()}")

    def _declare(self, queue: Queue, count: int) -> None:
        first, self._declared = self._declared, self._declared + count
        queue.declare_many(Mark(n, self._seconds()) for n in range(first, self._declared))

    def _seconds(self) -> float:
        return self._random.choices((0.0, 0.002, 0.06, 0.4), (90, 7, 2.7, 0.3))[0]

    def _keep_up(self) -> None:
        for worker in [one for one in self._leaving if one.poll() is not None]:
            self._leaving.remove(worker)
            self._bury(worker, worker.returncode)
        for worker in [one for one in self._workers if one.poll() is not None]:
            self._workers.remove(worker)
            self._bury(worker, worker.returncode)
        while len(self._workers) < WORKERS:
            words = ("realization:start", "--realizers", "2", "--grace", "0s")
            self._workers.append(self._site.start(*words))
            self._ledger.count("workers started")

    def _signal(self) -> None:
        worker = self._random.choice([*self._workers, *self._leaving])
        [number] = self._random.choices(list(SIGNALS), list(SIGNALS.values()))
        if not _is_worker(worker.pid):
            self._ledger.count("signals in the first moments of a program")
            if number in (signal.SIGINT, signal.SIGABRT):  # Python itself makes a noise of those
                number = signal.SIGHUP
            self._unready.add(worker.pid)
        if number in URGENT or (number == signal.SIGINT and worker in self._leaving):
            self._hurry(worker.pid)
        worker.send_signal(number)
        if number in URGENT:
            self._hurry(worker.pid)  # it may have started another worker in the meantime
        self._ledger.count(f"{number.name}s")
        if number in STOPPING and worker in self._workers:
            self._workers.remove(worker)
            self._leaving.append(worker)

    def _hurry(self, pid: int) -> None:
        """It may interrupt jobs from now on, and so may the worker that takes jobs meanwhile."""
        now = time.monotonic()
        for one in (pid, *(child.pid for child in children(pid))):
            self.stopped.setdefault(one, now)

    def _bury(self, worker: subprocess.Popen[bytes], code: int) -> None:
        if code in LEFT or (code in UNREADY and worker.pid in self._unready):
            return
        raise Broken(f"a worker left with {code}: {self._site.said()[-4000:]}")


def _is_worker(pid: int) -> bool:
    """Whether a program handles the signals of workers, or has them wait until it does."""
    with suppress(FileNotFoundError), open(f"/proc/{pid}/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
        for mask in ("SigCgt", "SigBlk"):
            signals = int(lines[mask], 16)
            if all(signals >> (number - 1) & 1 for number in HANDLED):
                return True
    return False


def account(path: str, jobs: int, stopped: dict[int, float], ledger: Ledger) -> None:
    """Compare the book with what was declared, and with who was to stop; raises Broken."""
    runs = read(path)
    missing = [n for n in range(jobs) if not any(run.ended for run in runs[n])]
    ledger.require("no job is missing", holds=not missing, otherwise=f"{missing}")
    ledger.count("jobs", jobs)
    ordered = sorted((run for some in runs.values() for run in some), key=lambda run: run.began)
    last = {run.pid: run for run in ordered}
    for some in runs.values():
        for earlier, later in pairwise(sorted(some, key=lambda run: run.began)):
            _excuse(earlier, later, stopped.get(earlier.supervisor), last[earlier.pid])
            ledger.count("of them repeated, interrupted by a stop without a grace time")


def _excuse(earlier: Run, later: Run, stopped: float | None, last: Run) -> None:
    if stopped is None:
        raise Broken(f"job {earlier.n} was repeated, though nobody was to hurry: {earlier} {later}")
    if earlier.ended is None:
        return
    if earlier != last or earlier.ended < stopped - RETURNING:
        raise Broken(f"job {earlier.n} was repeated, though it had ended: {earlier} {later}")


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Signals, a calm, and the account of every realization."""
    jobs, signals = SHORT if short else FULL
    with Site() as site:
        squall = Squall(site, seed, jobs, signals, ledger)
        squall.rage()
        squall.calm()
        site.check()
        account(site.book, jobs, squall.stopped, ledger)
        with closing(Queue(site.db)) as queue:
            found = queue.find(status="completed", limit=jobs + 1)
        counted = {one.id: one.attempts for one in found if one.attempts != 1}
        ledger.require("what is given back has used no attempt", holds=not counted,
                       otherwise=f"{counted}")  # fmt: skip
        ledger.require("every job ends completed", holds=len(found) == jobs,
                       otherwise=f"{site.tally()}")  # fmt: skip
        left = [name for name in os.listdir(site.folder) if "-worker-" in name]
        ledger.require("no worker has left its lock behind", holds=not left, otherwise=f"{left}")
