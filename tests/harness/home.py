"""A directory with a queue and jobs of its own, and all that is started there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja import Queue
from prokerja.report import detail_json
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.harness.processes import kill
from tests.harness.waiting import PATIENCE, wait_until
from tests.harness.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import psutil

PROGRAM = os.path.join(os.path.dirname(sys.executable), "prokerja")
STATUSES = ("pending", "processing", "completed", "failed")
CONTENT = ("declaration", "lane", "pending", "claim", "running", "attempt")
"""The tables that say which jobs there are and where they stand."""


def request(name: str, **payload: Any) -> Any:
    """A request for a job that need not be known here."""
    job = _named(name)()
    job.given = payload
    return job


@cache
def _named(name: str) -> type:
    methods = {"payload": lambda self: self.given, "handle": lambda self: None}
    return type("Request", (), {"name": name, **methods})


def inside(queue: Queue) -> SQLiteRepository:
    """A queue's store, where a test is about SQLite's own."""
    assert isinstance(queue.repository, SQLiteRepository)
    return queue.repository


class Told(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stdout."""
        return self.out.splitlines()

    @property
    def cells(self) -> list[list[str]]:
        """Of stdout, which has tabs between them."""
        return [line.split("\t") for line in self.lines]


class Home:
    """A directory with a queue, a jobs directory, and an environment that knows of no other."""

    def __init__(self, path: Path, jobs: str = "jobs") -> None:
        self.path = path
        self.db = path / "queue.sqlite3"
        self.jobs = path / jobs
        self.jobs.mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PROKERJA_", "XDG_"))},
            "HOME": str(path / "home"),
            "PROKERJA_DB": str(self.db),
            "PROKERJA_JOBS": str(self.jobs),
            "PATH": os.pathsep.join([os.path.dirname(PROGRAM), os.environ.get("PATH", "")]),
        }
        self.launcher: tuple[str, ...] = ()
        """Words before each command, which see to its surroundings and then run it."""
        self.program: tuple[str, ...] = (PROGRAM,)
        self._workers: list[Worker] = []
        self._started: list[subprocess.Popen[Any]] = []
        self._connection: sqlite3.Connection | None = None
        self._reapers = sys.platform == "linux"

    @cached_property
    def queue(self) -> Queue:
        """The queue, in this process."""
        return Queue(self.db)

    def write(self, name: str, source: str) -> Path:
        """A job file."""
        file = self.jobs / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def in_environment(self, variables: Mapping[str, str]) -> None:
        """Have all that is started from here on find these variables."""
        self.environment.update(variables)

    def customize(self, place: Path) -> None:
        """Have all that is started from here on run the `sitecustomize.py` of a directory."""
        before = self.environment.get("PYTHONPATH")
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place), before)))

    def elsewhere(self) -> None:
        """Have all that is started from here on do without what only Linux has."""
        self._reapers = False
        place = self.path / "elsewhere"
        place.mkdir()
        first = "import psutil, subprocess, sys\n"  # these are built for the real system
        (place / "sitecustomize.py").write_text(f"{first}sys.platform = 'darwin'\n")
        self.customize(place)

    # The program, as a user calls it

    def __call__(
        self,
        *words: object,
        stdin: str | bytes = b"",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Told:
        """Run `prokerja` with its output in pipes."""
        return self.execute(self.command(*words), stdin, cwd, environment)

    def cli(self, *words: object, code: int = 0) -> str:
        """What a command prints."""
        told = self(*words)
        assert told.code == code, told.err
        return told.out

    def execute(
        self,
        command: Sequence[str | bytes],
        stdin: str | bytes = b"",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Told:
        """Run any program the same way."""
        done = subprocess.run(
            command,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=cwd or self.path,
            env={**self.environment, **(environment or {})},
            timeout=2 * PATIENCE,
            check=False,
        )
        return Told(done.returncode, *map(os.fsdecode, (done.stdout, done.stderr)))

    def sh(self, script: str) -> Told:
        """Run a shell script."""
        return self.execute(["sh", "-c", script])

    def ask(self, *words: object) -> Any:
        """What a command answers as JSON."""
        told = self(*words, "--json")
        assert told.err == ""
        return json.loads(told.out)

    def declare(self, *words: object, stdin: str | bytes = b"") -> list[int]:
        """The ids that `declare:job` prints."""
        told = self("declare:job", *words, stdin=stdin)
        assert (told.code, told.err) == (0, ""), told.err
        return list(map(int, told.lines))

    def command(self, *words: object) -> list[str | bytes]:
        """The command line of a command on this queue."""
        given = (word if isinstance(word, bytes) else str(word) for word in words)
        return [*self.launcher, *self.program, *given]

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """Start `prokerja` with its output in pipes, and let it run."""
        process = subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.path,
            env=self.environment,
            start_new_session=True,
        )
        self._started.append(process)
        return process

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
            cwd=self.path,
            env=self.environment,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    # Jobs, without the price of a process

    def declare_job(
        self, name: str, /, *, options: dict[str, Any] | None = None, **payload: Any
    ) -> int:
        """Declare a job of any name; its id."""
        return self.queue.declare(request(name, **payload), **options or {})

    def run(self, code: str, **options: Any) -> int:
        """Declare a job whose `handle()` has this body."""
        return self.declare_job("run", code=textwrap.dedent(code), options=options)

    def run_each(self, codes: Iterable[str], **options: Any) -> Sequence[int]:
        """Declare one job for each body."""
        return self.queue.declare_many((request("run", code=code) for code in codes), **options)

    def declare_many(self, name: str, payloads: Iterable[dict[str, Any]]) -> Sequence[int]:
        """Declare one job for each payload."""
        return self.queue.declare_many(request(name, **payload) for payload in payloads)

    def job(self, id: int) -> dict[str, Any]:
        """What `report:job --json` answers."""
        return detail_json(self.queue.detail(id))

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
        return dict(zip(STATUSES, self.report(), strict=True))

    # What there is to see

    def open(self, gate: str) -> None:
        """Let those go on who `wait_for` it."""
        (self.path / gate).touch()

    def ledger(self) -> list[str]:
        """The lines that jobs have noted."""
        path = self.path / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def report(self) -> list[int]:
        """How many jobs are pending, processing, completed and failed."""
        totals = ", ".join(f"total({status})" for status in STATUSES)
        rows = self.look(f"SELECT {totals} FROM lane")
        return list(map(int, rows[0])) if rows else [0] * len(STATUSES)

    def dump(self) -> dict[str, list[Any]]:
        """All that the file knows of jobs and where they stand."""
        return {table: sorted(self.look(f"SELECT * FROM {table}")) for table in CONTENT}

    def look(self, query: str) -> list[Any]:
        """The rows of a query; none as long as there is no such table."""
        if self._connection is None and self.db.exists():
            self._connection = sqlite3.connect(self.db, timeout=PATIENCE)
        try:
            return self._connection.execute(query).fetchall() if self._connection else []
        except sqlite3.OperationalError:
            return []

    def close(self) -> None:
        """End everything."""
        families = [worker.family() for worker in self._workers if worker.process.poll() is None]
        kill(process for family in families for process in family)
        for worker in self._workers:
            worker.process.wait()
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if self._connection is not None:
            self._connection.close()
        if "queue" in self.__dict__:
            self.queue.close()


@contextlib.contextmanager
def opened(path: Path, name: str, source: str, jobs: str = "jobs") -> Iterator[Home]:
    """A home with one job file, whose processes end with the block."""
    home = Home(path, jobs)
    home.write(name, source)
    try:
        yield home
    finally:
        home.close()
