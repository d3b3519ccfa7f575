"""A place with real workers, whose jobs do what their payload says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import psutil

from prokerja.report import detail_json
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.place import PATIENCE, Place, request, wait_until

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from prokerja import Queue


JOBS = '''
import contextlib, ctypes, io, json, os, signal, subprocess, sys, textwrap, threading, time
from dataclasses import dataclass

import psutil

from prokerja import Job

HOME = {home!r}
LEDGER = os.path.join(HOME, "ledger")


def note(line):
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{{line}}\\n".encode())
    os.close(descriptor)


def supervisor():
    parent = os.getppid()
    return parent if sys.platform != "linux" else psutil.Process(parent).ppid()


def wait_for(gate):
    while not os.path.exists(os.path.join(HOME, gate)):
        time.sleep(0.005)


@dataclass
class Run(Job):
    """Do what the payload says."""

    code: str

    def handle(self):
        scope = {{**globals(), "self": self}}
        exec("def body():\\n" + textwrap.indent(self.code, "    "), scope)
        return scope["body"]()
'''


def gone(process: psutil.Process) -> bool:
    """Whether a process runs no more; one that nobody has reaped yet does not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def realizers(worker: int, *, reapers: bool = sys.platform == "linux") -> list[psutil.Process]:
    """The living realizers of a worker, each behind a reaper unless the system has none."""
    started = children(worker)
    if reapers:
        started = [child for reaper in started for child in children(reaper.pid)[:1]]
    return [child for child in started if not gone(child)]


def children(pid: int) -> list[psutil.Process]:
    """A process's children, the oldest first; none of one that is gone."""
    try:
        return sorted(psutil.Process(pid).children(), key=psutil.Process.create_time)
    except psutil.NoSuchProcess:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """End all of them, though the death of one may be the end of another."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


class Worker:
    """A worker in a process of its own, that leads a group of its own."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: dict[str, str], *, reapers: bool
    ) -> None:
        self.log = log
        self._reapers = reapers
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                process_group=0,
            )
        self.pid = self.process.pid

    def printed(self) -> bytes:
        """All that came on its stderr so far."""
        return self.log.read_bytes()

    def said(self) -> str:
        """The same as text."""
        return self.printed().decode(errors="replace")

    def lines(self, id: int) -> list[bytes]:
        """What job `id` has printed."""
        label = b"[%d] " % id
        lines = self.printed().splitlines()
        return [line.removeprefix(label) for line in lines if line.startswith(label)]

    def ready(self) -> Worker:
        """Wait until it has loaded its jobs."""
        wait_until(lambda: "started:" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        return self

    def realizers(self) -> list[psutil.Process]:
        """The processes that run its jobs, as far as they live."""
        return realizers(self.pid, reapers=self._reapers)

    def stopped_realizer(self) -> psutil.Process:
        """Its only realizer, which can take jobs from now on, but not start them."""
        [realizer] = self.realizers()
        realizer.suspend()
        wait_until(lambda: realizer.status() == psutil.STATUS_STOPPED)
        return realizer

    def asleep(self) -> bool:
        """Whether it waits for something to happen."""
        return psutil.Process(self.pid).status() == psutil.STATUS_SLEEPING

    def family(self) -> list[psutil.Process]:
        """The worker and all below it."""
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        """A signal to the supervisor."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the supervisor, and nothing else, with -9."""
        self.process.kill()
        self.process.wait()

    def end(self, limit: float = PATIENCE) -> int:
        """Its exit code, once it has left by itself."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {limit:g} s:\n{self.said()}") from None


def inside(queue: Queue) -> SQLiteRepository:
    """A queue's store, where a test is about SQLite's own."""
    assert isinstance(queue.repository, SQLiteRepository)
    return queue.repository


class Home(Place):
    """A place with jobs that do what their payload says, a ledger, and the workers started here."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.launcher: tuple[str, ...] = ()
        """Words before each command, which see to its surroundings and then run it."""
        self.interpreter = sys.executable
        self._workers: list[Worker] = []
        self._others: list[subprocess.Popen[str]] = []
        self._reapers = sys.platform == "linux"
        self.write("run.py", JOBS.format(home=str(path)))

    def elsewhere(self) -> None:
        """Have all that is started from here on do without what only Linux has."""
        self._reapers = False
        place = self.path / "elsewhere"
        place.mkdir()
        first = "import psutil, subprocess, sys\n"  # these are built for the real system
        (place / "sitecustomize.py").write_text(f"{first}sys.platform = 'darwin'\n")
        self.environment["PYTHONPATH"] = str(place)

    def run(self, code: str, **options: Any) -> int:
        """Declare a job whose `handle()` has this body."""
        return self.declare_job("run", code=textwrap.dedent(code), options=options)

    def run_each(self, codes: Iterable[str], **options: Any) -> range:
        """Declare one job for each body."""
        return self.queue.declare_many((request("run", code=code) for code in codes), **options)

    def declare_many(self, name: str, payloads: Iterable[dict[str, Any]]) -> range:
        """Declare one job for each payload."""
        return self.queue.declare_many(request(name, **payload) for payload in payloads)

    def cli(self, *words: object, code: int = 0) -> str:
        """What a command prints."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, env=self.environment, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def call(
        self, words: Sequence[str | bytes], text: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """A program that has ended; `text` is its stdin."""
        return subprocess.run(
            words, input=text, capture_output=True, env=self.environment, check=False
        )

    def ask(self, *words: object) -> Any:
        """What a command answers as JSON."""
        return json.loads(self.cli(*words, "--json"))

    def job(self, id: int) -> dict[str, Any]:
        """What `report:job --json` answers, without the price of a process."""
        return detail_json(self.queue.find(id))

    def statuses(self, ids: Iterable[int]) -> list[str]:
        """Of each of these jobs."""
        return [status.value for status in self.queue.repository.statuses(ids).values()]

    def running(self, id: int) -> bool:
        """Whether the file knows that this job has been started."""
        job = self.job(id)
        return job["status"] == "processing" and job["started_at"] is not None

    def warm(self, worker: Worker) -> None:
        """Have the worker learn that what `run` declares is short, so that it travels together."""
        for _ in range(20):
            self._settle(self.run_each(["pass"] * 100))
            realizer = worker.stopped_realizer()
            ids = self.run_each(["pass"] * 10)
            with contextlib.suppress(AssertionError):
                wait_until(self.several_in_hand, 1.0)
                return self._settle(ids, realizer)
            self._settle(ids, realizer)
        raise AssertionError("this machine is too slow to find anything short")

    def several_in_hand(self) -> bool:
        """Whether a worker has claimed more than the one job that always fits."""
        return self.counts()["processing"] > 1

    def _settle(self, ids: Iterable[int], stopped: psutil.Process | None = None) -> None:
        if stopped is not None:
            stopped.resume()
        wait_until(lambda: set(self.statuses(ids)) == {"completed"})

    def wait(self, id: int, status: str = "completed", limit: float = PATIENCE) -> dict[str, Any]:
        """A job, as soon as it has that status."""
        wait_until(lambda: self.statuses([id]) == [status], limit)
        return self.job(id)

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status."""
        tallies = self.queue.summary().queues
        total = dict.fromkeys(("pending", "processing", "completed", "failed"), 0)
        for tally in tallies:
            for status, count in tally.counts().items():
                total[status] += count
        return total

    def worker(self, *words: object) -> Worker:
        """Start a worker."""
        log = self.path / f"worker-{len(self._workers) + 1}.log"
        command = self.command("realization:start", *words)
        worker = Worker(command, log, self.environment, reapers=self._reapers)
        self._workers.append(worker)
        return worker

    def work(self, *words: object) -> Worker:
        """Have a worker do all there is to do, and leave."""
        worker = self.worker("--until-empty", *words)
        assert worker.end() == 0, worker.said()
        return worker

    def python(self, code: str, *words: object) -> subprocess.Popen[str]:
        """Start another Python program, with pipes to talk to it."""
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self._others.append(process)
        return process

    def open(self, gate: str) -> None:
        """Let those go on who `wait_for` it."""
        (self.path / gate).touch()

    def ledger(self) -> list[str]:
        """The lines that jobs have noted."""
        path = self.path / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        """End everything."""
        families = [worker.family() for worker in self._workers if worker.process.poll() is None]
        kill(process for family in families for process in family)
        for worker in self._workers:
            worker.process.wait()
        for other in self._others:
            with other:
                other.kill()
        super().close()

    def command(self, *words: object) -> list[str]:
        """The command line of a command on this queue."""
        command, *rest = map(str, words)
        where = ["--db", str(self.db)]
        if command.startswith(("declare", "realization")):
            where += ["--jobs", str(self.jobs)]
        return [*self.launcher, self.interpreter, "-m", "prokerja", command, *where, *rest]
