"""Kill storms: whatever is killed, every job is realized, and none by two living workers."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from inotify_simple import INotify, flags

from prokerja.errors import NotPaused, RequestError
from prokerja.queue import Queue
from tests.crash.book import account, account_order, account_steps
from tests.crash.jobs.mark import Mark
from tests.crash.ledger import Broken, Ledger
from tests.crash.log import contradictions
from tests.crash.site import Site
from tests.harness.processes import children, realizers

if TYPE_CHECKING:
    import subprocess

FULL, SHORT = (100_000, 1000), (2_000, 25)
"""Jobs and kills of one run."""
WORKERS, REALIZERS = 2, 2
TARGETS = {"realizer": 6, "supervisor": 3, "whole worker": 2}
"""What is killed, and how often compared with the others."""
PAUSE = 0.04
"""Seconds between a sign of work and the next kill, at most."""
LOST_SIGHT = 30.0
"""Seconds without a sign of work, after which the storm has found a queue that stands still."""
LEAVES = {-signal.SIGKILL, 1}
"""How a worker may end here: killed, or because its first realizer was while it loaded the jobs."""
PAUSES, PAUSED = 0.2, 0.3
"""How often queues are paused, for each kill; and for how many seconds."""
ROUNDS = 5
"""How often jobs that were set aside, since too many workers died with them, are retried."""


class Storm:
    """Workers that are killed and started again while jobs keep coming."""

    def __init__(self, site: Site, seed: int, jobs: int, kills: int, ledger: Ledger) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._jobs = jobs
        self._kills = kills
        self._ledger = ledger
        self._declared = 0
        self._ids: list[int] = []
        """Of the jobs, by their numbers."""
        self.parents: dict[int, int] = {}
        """The number of the job that one waits for, by its own."""
        self.cancelled: list[int] = []
        """The ids of further jobs that were cancelled, wherever they were by then."""
        self._workers: list[subprocess.Popen[bytes]] = []
        self.killed: dict[int, float] = {}
        """When each process was killed, in monotonic seconds."""
        self._news = INotify(nonblocking=False)
        self._news.add_watch(site.book, flags.MODIFY)

    def rage(self) -> None:
        """Kill so often, each time after a sign of work."""
        with closing(Queue(self._site.db)) as queue:
            for left in range(self._kills, 0, -1):
                self._declare(queue, (self._jobs - self._declared) // left)
                self._meddle(queue, self._jobs + left)
                self._keep_up()
                self._await_work()
                time.sleep(self._random.random() * PAUSE)
                while not self._kill():
                    self._keep_up()
        self._news.close()

    def calm(self) -> None:
        """Let one last worker realize all that is left."""
        for worker in self._workers:
            self._end(worker)
        time.sleep(PAUSED)  # who works until all is done does not wait for paused queues
        with closing(Queue(self._site.db)) as queue:
            for _ in range(ROUNDS):
                last = self._start("--until-empty")
                if last.wait(600):
                    told = f"{last.returncode}: {self._site.said()}"
                    raise Broken(f"the last worker left with {told}")
                failed = self._failed(queue)
                resolved = self._resolve(queue)
                if not (failed or resolved):
                    return
                self._ledger.count("set aside after five dead workers, and retried", len(failed))
                queue.retry(*failed)
        raise Broken(f"jobs fail or wait however often they are retried: {failed[:5]}")

    def _failed(self, queue: Queue) -> list[int]:
        """Those that have failed, but for what was cancelled."""
        found = queue.find(status="failed", limit=self._jobs + self._kills)
        return sorted({one.id for one in found}.difference(self.cancelled))

    def _declare(self, queue: Queue, count: int) -> None:
        first, self._declared = self._declared, self._declared + count
        marks = (self._mark(n) for n in range(first, self._declared))
        self._ids += queue.declare_many(
            mark.options(lock="storm") if mark.limited else mark for mark in marks
        )

    def _meddle(self, queue: Queue, number: int) -> None:
        """Resolve what waits, cancel a job of its own number, have another wait for one."""
        self._resolve(queue)
        if self._random.random() < PAUSES:
            self._pause(queue)
        doomed = queue.declare(Mark(number, 0.06))
        if self.cancelled:
            with suppress(RequestError):  # it has ended
                queue.cancel(self.cancelled[-1])
        self.cancelled.append(doomed)
        if self._declared < self._jobs and self._ids:
            parent, child = self._random.randrange(len(self._ids)), self._declared
            self._ids.append(
                queue.declare(Mark(child), after=self._ids[parent], if_parent_fails="wait")
            )
            self.parents[child] = parent
            self._declared += 1

    def _pause(self, queue: Queue) -> None:
        """Have nothing start for a moment, which ends by itself unless somebody is quicker."""
        name = self._random.choice((None, "default"))
        queue.pause_queue(name, why="a storm", until=PAUSED)
        self._ledger.count("pauses")
        if self._random.random() < 0.5:
            with suppress(NotPaused):
                queue.resume_queue(name)
                self._ledger.count("pauses that somebody has ended")

    def _resolve(self, queue: Queue) -> int:
        """Resolve all that wait; returns how many."""
        with closing(sqlite3.connect(self._site.db)) as connection:
            waiting = connection.execute("SELECT declaration FROM awaiting").fetchall()
        for (id,) in waiting:
            queue.resolve(id, "resolved")
        self._ledger.count("awaiting jobs resolved", len(waiting))
        return len(waiting)

    def _mark(self, n: int) -> Mark:
        chance = self._random.random()
        if chance < 0.9:
            return Mark(n)
        awaits, limited = 0.91 < chance < 0.93, 0.93 < chance < 0.95
        self._ledger.count("jobs under a limit of 1", int(limited))
        seconds = 0.002 if chance < 0.995 else 0.06
        steps = 0 if chance < 0.98 else 2
        return Mark(n, seconds, steps=steps, awaits=awaits, limited=limited)

    def _keep_up(self) -> None:
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._bury(worker)
        while len(self._workers) < WORKERS:
            self._workers.append(self._start())

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        self._ledger.count("workers started")
        return self._site.start("realization:start", "--realizers", str(REALIZERS), *words)

    def _await_work(self) -> None:
        self._news.read(timeout=0)  # what is old is no sign
        give_up = time.monotonic() + LOST_SIGHT
        while not self._news.read(timeout=50):
            self._keep_up()
            tally = self._site.tally()
            if not tally["pending"] + tally["processing"]:
                return
            if time.monotonic() > give_up:
                raise Broken(f"no job begins any more, with {tally}: {self._site.said()[-2000:]}")

    def _kill(self) -> bool:
        """One blow; False if what it was meant for was not there."""
        [kind] = self._random.choices(list(TARGETS), list(TARGETS.values()))
        worker = self._random.choice(self._workers)
        reapers = [child.pid for child in children(worker.pid)]
        at_work = [realizer.pid for realizer in realizers(worker.pid)]
        if kind == "realizer":
            # Mostly one that works: after the death of one that loads, the next is not hurried.
            pids = [self._random.choice(at_work[:1] * 5 + at_work)] if at_work else []
        else:
            pids = [worker.pid, *(at_work + reapers if kind == "whole worker" else ())]
            self._random.shuffle(pids)
        for pid in pids:
            self._strike(pid)
        if pids and kind != "realizer":
            self._bury(worker)
        self._ledger.count(f"kills of a {kind}", min(1, len(pids)))
        return bool(pids)

    def _strike(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            self.killed[pid] = time.monotonic()
            os.kill(pid, signal.SIGKILL)

    def _bury(self, worker: subprocess.Popen[bytes]) -> None:
        self._workers.remove(worker)
        if worker.wait() not in LEAVES:
            raise Broken(f"a worker left with {worker.returncode}: {self._site.said()[-4000:]}")

    def _end(self, worker: subprocess.Popen[bytes]) -> None:
        worker.terminate()  # which it may not have learned to hear yet
        if worker.wait(60) not in {0, -signal.SIGTERM, *LEAVES}:
            raise Broken(f"a worker left with {worker.returncode}: {self._site.said()[-4000:]}")


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """A storm, a calm, and the account of every realization."""
    jobs, kills = SHORT if short else FULL
    with Site() as site:
        storm = Storm(site, seed, jobs, kills, ledger)
        storm.rage()
        storm.calm()
        site.check()
        with closing(site.repository()) as repository:
            wrong = list(contradictions(repository))
        ledger.require("the log of events tells what the rows hold", holds=not wrong,
                       otherwise="; ".join(wrong[:5]))  # fmt: skip
        account(site.book, jobs, storm.killed, ledger)
        account_steps(f"{site.book}.steps", ledger)
        account_order(site.book, storm.parents, ledger)
        tally = site.tally()
        ended = jobs + len(storm.cancelled)
        ledger.require(
            "every job ends completed, or cancelled", otherwise=f"{tally}",
            holds=tally["completed"] + tally["failed"] == ended and tally["completed"] >= jobs,
        )  # fmt: skip
        ledger.count("jobs that were cancelled in time", tally["failed"])
