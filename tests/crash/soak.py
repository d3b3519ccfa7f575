"""A week in two minutes: everything that happens to a queue, at once and at random.

`python -m tests.crash.soak [--minutes N] [--seed N]`, or `make soak`. At the end all is made well,
and the ledger must balance: each job has ended as it says it should, and a worker that was there
all the while holds no more descriptors, threads, children and memory than at the start.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil

from prokerja.errors import NotFound, NotPaused, ProkerjaError, RequestError, TryAgain
from prokerja.model.declaration import Status
from prokerja.queue import Queue
from tests.crash.clock import Clock
from tests.crash.ledger import Broken, Ledger
from tests.crash.log import contradictions
from tests.crash.plan import Plan
from tests.crash.site import Site
from tests.crash.soak_jobs.soak_job import SoakJob
from tests.harness.processes import children, realizers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import Unpack

    from prokerja.types import Declarable, Terms

HERE = os.path.dirname(os.path.abspath(__file__))
JOBS = os.path.join(HERE, "soak_jobs")
WARM_SECONDS = 5.0
"""After which the veteran's belongings are counted for the first time."""
PAUSE_SECONDS = 0.1
"""Between two happenings, at most."""
SETTLE_SECONDS = 60.0
"""For which all that is left may take at the end."""
REST_SECONDS = 30.0
"""For which a worker may take to have nothing left of what has happened."""
JUMP_SECONDS = 7200.0
ENDS = {
    "done": "completed", "flaky": "completed", "dies": "completed", "slow": "completed",
    "steps": "completed", "prints": "completed", "leaves": "completed", "declares": "completed",
    "later": "completed", "awaits": "completed", "fails": "failed", "hangs": "failed",
}  # fmt: skip
"""How a job of each kind ends."""
MOSTLY = {"done": 20, "slow": 3, "hangs": 0.3, "dies": 0.5}
"""How often a kind is declared compared with others."""
MEMORY_SLACK = 1.25, 16 * 2**20
"""By how much a worker may have grown: so many times, and so many bytes."""
SENT = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR2)
LEAVES = {0, 1, 75, 82, 130, -signal.SIGKILL, *(-number for number in SENT)}
"""How a worker that is not the veteran may end here: by a signal before it could hear of them; with
1 if its first realizer was killed while it loaded the jobs, with 75 if the disk was full when its
grace time was over, with 82 if the clock jumped over the age of its files when it began."""
REALIZERS = 2


class Belongings(NamedTuple):
    """What a process holds."""

    descriptors: int
    threads: int
    children: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Belongings:
        """Those of a process; the children are its realizers, each with its reaper."""
        process = psutil.Process(pid)
        family = len(process.children(recursive=True))
        return cls(process.num_fds(), process.num_threads(), family, process.memory_info().rss)


class Soak:
    """One queue, one worker that lives through all of it, and others that come and go."""

    def __init__(self, site: Site, seed: int, ledger: Ledger) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._ledger = ledger
        self._jobs = os.path.join(site.folder, "jobs")
        shutil.copytree(JOBS, self._jobs, ignore=shutil.ignore_patterns("__pycache__"))
        os.mkdir(os.path.join(site.folder, "firsts"))
        site.environment |= {
            "PROKERJA_JOBS": self._jobs,
            "PROKERJA_SOAK": os.path.join(site.folder, "firsts"),
        }
        os.environ["PROKERJA_JOBS"] = self._jobs
        self._plan = Plan(site.folder, site.db, seed)
        self._clock = Clock(site.folder)
        self._expected: dict[int, str] = {}
        """How each job is to end, by id."""
        self._cancelled: set[int] = set()
        self._n = 0
        self._version = 0
        self._mortals: list[subprocess.Popen[bytes]] = []
        with closing(Queue(site.db)):
            self._veteran = self._start("--realizers", str(REALIZERS))
        site.until(lambda: "started:" in site.said())
        with closing(Queue(site.db)) as queue:
            first = queue.declare(SoakJob("done", 0))
            site.until(lambda: queue.job(first).status == "completed")
        site.until(self._is_at_rest)
        self._before = Belongings.of(self._veteran.pid)

    def run(self, seconds: float) -> None:
        """Let things happen for so long."""
        happenings: dict[Callable[[Queue], object], float] = {
            self._declare: 30, self._declare_many: 3, self._declare_shell: 2, self._depend: 2,
            self._cancel: 3, self._resolve: 4, self._pause: 1, self._purge: 1, self._jump: 1,
            self._fill: 1, self._new_code: 1, self._broken_code: 0.5, self._signal: 3,
            self._kill: 2, self._kill_realizer: 2, self._hold_claiming: 1, self._ask: 2,
        }  # fmt: skip
        warm, end = time.monotonic() + min(WARM_SECONDS, seconds / 2), time.monotonic() + seconds
        with closing(Queue(self._site.db)) as queue:
            while time.monotonic() < end:
                self._keep_up()
                [happening] = self._random.choices([*happenings], [*happenings.values()])
                happening(queue)
                self._ledger.count(happening.__name__.strip("_").replace("_", " "))
                time.sleep(self._random.random() * PAUSE_SECONDS)
                if time.monotonic() < warm:
                    memory = Belongings.of(self._veteran.pid).memory
                    self._before = self._before._replace(memory=memory)
            self._heal(queue)
            self._await_ends(queue)
            self._balance(queue)
        self._compare()
        self._leave()

    # What happens

    def _declare(self, queue: Queue) -> None:
        self._one(queue, self._kind())

    def _declare_many(self, queue: Queue) -> None:
        kinds = [self._kind() for _ in range(self._random.randrange(2, 200))]
        jobs = [self._job(kind) for kind in kinds]
        with suppress(TryAgain):
            for id, kind in zip(queue.declare_many(jobs), kinds, strict=True):
                self._expected[id] = ENDS[kind]

    def _declare_shell(self, queue: Queue) -> None:
        code = self._random.choice((0, 0, 3))
        told = self._site.run("declare:shell", "--sh", f"exit {code}")
        if told.returncode not in (0, 75):
            raise Broken(f"declare:shell left with {told.returncode}: {told.stderr.decode()}")
        if not told.returncode:
            self._expected[int(told.stdout)] = "failed" if code else "completed"

    def _depend(self, queue: Queue) -> None:
        parent = self._one(queue, "slow")
        if parent is not None:
            self._one(queue, "done", after=parent, limit=2, limit_key="soak")

    def _cancel(self, queue: Queue) -> None:
        id = self._one(queue, self._random.choice(("slow", "done", "hangs")))
        time.sleep(self._random.random() * 0.05)
        if id is not None:
            with suppress(RequestError, NotFound, TryAgain):
                queue.cancel(id)
                self._cancelled.add(id)

    def _resolve(self, queue: Queue) -> None:
        with closing(sqlite3.connect(self._site.db)) as connection:
            waiting = connection.execute("SELECT declaration FROM awaiting").fetchall()
        for (id,) in waiting:
            with suppress(ProkerjaError):  # the disk is full, or it has been cancelled
                queue.resolve(id, "resolved")

    def _pause(self, queue: Queue) -> None:
        with suppress(TryAgain, NotPaused):
            queue.pause_queue(None, why="a soak", until=0.5)
            if self._random.random() < 0.5:
                queue.resume_queue(None)

    def _purge(self, queue: Queue) -> None:
        """What is purged has completed, and is not looked for at the end."""
        with suppress(TryAgain):
            if queue.purge(Status.COMPLETED, time.time()):
                left = {one.id for one in queue.find(limit=1_000_000)}
                for id in self._expected.keys() - left:
                    self._judge(id, "completed", "")
                    del self._expected[id]

    def _jump(self, queue: Queue) -> None:
        self._clock.put(self._random.uniform(-JUMP_SECONDS, JUMP_SECONDS))
        self._one(queue, "done")
        time.sleep(self._random.random() * 0.5)
        self._clock.put(0.0)

    def _fill(self, queue: Queue) -> None:
        self._plan.fail(errno.ENOSPC, writes=self._random.choice((0.05, 1.0)))
        for _ in range(5):
            self._one(queue, "done")
            time.sleep(self._random.random() * 0.1)
        self._plan.heal()

    def _new_code(self, queue: Queue) -> None:
        self._version += 1
        self._write("soak_part.py", f"VERSION = {self._version}\n")

    def _broken_code(self, queue: Queue) -> None:
        self._write("soak_part.py", "VERSION = (\n")
        self._one(queue, "done")
        time.sleep(0.3 + self._random.random() * 0.5)
        self._new_code(queue)

    def _signal(self, queue: Queue) -> None:
        if self._mortals:
            worker, number = self._random.choice(self._mortals), self._random.choice(SENT)
            known = [one.pid for one in queue.summary().workers]
            if number != signal.SIGINT or worker.pid in known:  # else it interrupts Python's start
                worker.send_signal(number)

    def _hold_claiming(self, queue: Queue) -> None:
        """Pause the veteran's claiming by a signal, and resume it."""
        for wanted in (True, False):
            self._veteran.send_signal(signal.SIGUSR1)
            self._site.until(lambda wanted=wanted: self._veteran_is_held() is wanted)  # type: ignore[misc]
            time.sleep(self._random.random() * 0.2)

    def _veteran_is_held(self) -> bool:
        with closing(self._site.repository()) as repository:
            return any(
                note.kind == "signal"
                for worker in repository.workers()
                if worker.pid == self._veteran.pid
                for note in worker.notes
            )

    def _kill(self, queue: Queue) -> None:
        if self._mortals:
            self._random.choice(self._mortals).kill()

    def _kill_realizer(self, queue: Queue) -> None:
        living = realizers(self._random.choice([self._veteran, *self._mortals]).pid)
        if living:
            with suppress(psutil.NoSuchProcess):
                self._random.choice(living).kill()

    def _ask(self, queue: Queue) -> None:
        queue.summary()
        if self._expected:
            with suppress(NotFound):
                queue.detail(self._random.choice([*self._expected]))

    # How it is kept going, and looked at

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        self._ledger.count("workers started")
        environment = {**self._plan.environment, **self._clock.environment}
        environment["LD_PRELOAD"] = f"{environment['LD_PRELOAD']} {self._clock.library}"
        return self._site.start("realization:start", "--grace", "2s", *words, more=environment)

    def _keep_up(self) -> None:
        if self._veteran.poll() is not None:
            left = self._veteran.returncode
            raise Broken(f"the veteran left with {left}: {self._site.said()[-4000:]}")
        for worker in [worker for worker in self._mortals if worker.poll() is not None]:
            if worker.returncode not in LEAVES:
                raise Broken(f"a worker left with {worker.returncode}: {self._site.said()[-4000:]}")
            self._mortals.remove(worker)
        if not self._mortals:
            self._mortals.append(self._start("--realizers", str(self._random.randrange(1, 3))))

    def _heal(self, queue: Queue) -> None:
        self._plan.heal()
        self._clock.put(0.0)
        self._new_code(queue)
        with suppress(NotPaused):
            queue.resume_queue(None)

    def _await_ends(self, queue: Queue) -> None:
        give_up = time.monotonic() + SETTLE_SECONDS
        while True:
            self._keep_up()
            self._resolve(queue)
            counts = queue.summary().total
            if not (counts.pending or counts.processing):
                failed = queue.find(status="failed", limit=100_000)
                aside = [one.id for one in failed if self._expected.get(one.id) == "completed"]
                aside = [id for id in aside if id not in self._cancelled]
                if not aside:
                    return
                self._ledger.count("set aside after five dead workers, and retried", len(aside))
                queue.retry(*aside)
            if time.monotonic() > give_up:
                stuck = [one.id for one in queue.find(status="pending", limit=3)]
                why = [self._site.run("report", "--why", str(id)).stdout.decode() for id in stuck]
                raise Broken(f"not all has ended: {counts}, {why}, {self._site.said()[-3000:]}")
            time.sleep(0.1)

    def _balance(self, queue: Queue) -> None:
        """Compare how each job was to end with how it has."""
        found = {one.id: one for one in queue.find(limit=1_000_000)}
        for id in [*self._expected]:
            record = found.get(id)
            if record is None:
                raise Broken(f"job {id} is gone")
            self._judge(id, record.status, record.error or "")
        children = sum(one.id not in self._expected for one in found.values())
        self._ledger.count("jobs that jobs have declared", children)
        self._ledger.note(f"ended: {dict(Counter(one.status for one in found.values()))}")
        with closing(self._site.repository()) as repository:
            wrong = list(contradictions(repository))
        self._ledger.require("the log of events tells what the rows hold", holds=not wrong,
                             otherwise="; ".join(wrong[:5]))  # fmt: skip

    def _judge(self, id: int, status: str, error: str) -> None:
        wanted = self._expected.get(id)
        is_cancelled = id in self._cancelled and status == "failed"
        if wanted is not None and status != wanted and not is_cancelled:
            raise Broken(f"job {id} was to end {wanted}, and has {status}: {error}")
        self._ledger.count("jobs that ended as they should", int(wanted is not None))

    def _compare(self) -> None:
        """The veteran's belongings then and now, once it is at rest again."""
        give_up = time.monotonic() + REST_SECONDS
        while more := self._more_than_before():
            if time.monotonic() > give_up:
                raise Broken(f"the veteran has more than at the start: {more}")
            time.sleep(0.1)
        times, most = MEMORY_SLACK
        before, after = self._before.memory, Belongings.of(self._veteran.pid).memory
        self._ledger.require("the veteran has not grown", otherwise=f"{before}, {after} bytes",
                             holds=after < before * times + most)  # fmt: skip
        self._ledger.note(f"memory of its supervisor: {before} bytes, then {after}")

    def _more_than_before(self) -> list[str]:
        before, after = self._before, Belongings.of(self._veteran.pid)
        if not self._is_at_rest():
            return [f"{after.children} children"]
        return [
            f"{after}, {before}, {_files(self._veteran.pid)}"
        ] * (after.descriptors > before.descriptors or after.threads > before.threads)  # fmt: skip

    def _is_at_rest(self) -> bool:
        """Whether the veteran has its realizers, each with its reaper, and nothing else."""
        return Belongings.of(self._veteran.pid).children == 2 * REALIZERS

    def _leave(self) -> None:
        for worker in [self._veteran, *self._mortals]:
            worker.terminate()
            if worker.wait(60) not in LEAVES:
                left = worker.returncode
                raise Broken(f"a worker left with {left}: {self._site.said()[-4000:]}")
        left = [
            child for worker in [self._veteran, *self._mortals] for child in children(worker.pid)
        ]
        self._ledger.require("no process is left", holds=not left, otherwise=f"{left}")

    def _one(self, source: Queue, kind: str, **options: Unpack[Terms]) -> int | None:
        """Declare a job; None if the store refuses it for now."""
        try:
            id = source.declare(self._job(kind), **options)
        except TryAgain:
            self._ledger.count("declarations refused for now")
            return None
        self._expected[id] = ENDS[kind]
        return id

    def _job(self, kind: str) -> Declarable:
        job = SoakJob(kind, self._next())
        return job.options(timeout=0.5, retries=0) if kind == "hangs" else job

    def _kind(self) -> str:
        [kind] = self._random.choices([*ENDS], [MOSTLY.get(kind, 1) for kind in ENDS])
        return kind

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _write(self, name: str, text: str) -> None:
        """As editors do: a new file in the place of the old one."""
        path = os.path.join(self._jobs, name)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)


def _files(pid: int) -> dict[str, str]:
    """What a process has open, by descriptor."""
    folder = f"/proc/{pid}/fd"
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """A short one for the suite, a long one for `make crash`."""
    soak(seed, ledger, 8.0 if short else 120.0)


def soak(seed: int, ledger: Ledger, seconds: float) -> None:
    """Let everything happen for so long, and balance the ledger."""
    with Site() as site:
        Soak(site, seed, ledger).run(seconds)
        site.check()


def main() -> int:
    """Soak for as long as was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    ledger = Ledger()
    print(f"soak: {given.minutes:g} minutes (seed {given.seed})", flush=True)
    try:
        soak(given.seed, ledger, given.minutes * 60)
    except Broken as error:
        print(f"BROKEN: {error}", file=sys.stderr)
        return 1
    finally:
        print(*ledger.lines(), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
