"""The installed `prokerja`, called as a user calls it: by a shell, in a pipe, or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.place import PATIENCE, Place, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROGRAM = os.path.join(os.path.dirname(sys.executable), "prokerja")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STATUSES = ("pending", "processing", "completed", "failed")
CONTENT = ("declaration", "lane", "pending", "claim", "running", "attempt")
"""The tables that say which jobs there are and where they stand."""

JOBS = '''
import os, time
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Noop(Job):
    """Do nothing."""

    n: int = 0

    def handle(self):
        return {"n": self.n}


@dataclass
class Fail(Job):
    """Fail."""

    why: str = "no reason"

    def handle(self):
        raise ValueError(self.why)


@dataclass
class Hold(Job):
    """Run until a file is there."""

    gate: str

    def handle(self):
        while not os.path.exists(self.gate):
            time.sleep(0.005)


@dataclass
class Send(Job):
    """Take what there is to take."""

    to: str
    subject: str = ""
    copies: int = 1
    urgent: bool = False
    weight: float = 1.5
    tags: list[str] | None = None

    queue = "emails"
    priority = 3

    def handle(self):
        return None
'''


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


class Shell(Place):
    """A place whose commands are called as a user calls them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "my jobs")
        self.environment |= {
            "PROKERJA_DB": str(self.db),
            "PROKERJA_JOBS": str(self.jobs),
            "PATH": os.pathsep.join([os.path.dirname(PROGRAM), os.environ.get("PATH", "")]),
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._connection: sqlite3.Connection | None = None

    def __call__(
        self,
        *words: object,
        stdin: str | bytes = b"",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Told:
        """Run `prokerja` with its output in pipes."""
        return self.run([PROGRAM, *map(os.fsencode, map(str, words))], stdin, cwd, environment)

    def run(
        self,
        command: list[Any],
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
        return Told(done.returncode, done.stdout.decode(), done.stderr.decode())

    def sh(self, script: str) -> Told:
        """Run a shell script."""
        return self.run(["sh", "-c", script])

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

    def work(self) -> Told:
        """Have a worker do all that is due."""
        told = self("realization:start", "--until-empty")
        assert (told.code, told.out) == (0, ""), told.err
        return told

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """Start `prokerja` with its output in pipes, and let it run."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.path,
            env=self.environment,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def worker(self, *words: object) -> subprocess.Popen[bytes]:
        """Start a worker, which knows its jobs when this returns."""
        known = len(self._greeted())
        process = self.start("realization:start", *words)
        wait_until(lambda: len(self._greeted()) > known)
        return process

    def report(self) -> list[int]:
        """How many jobs are pending, processing, completed and failed."""
        [row] = self.look(
            f"SELECT {', '.join(f'total({status})' for status in STATUSES)} FROM lane"
        )
        return list(map(int, row))

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
        """End what is still running."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if self._connection is not None:
            self._connection.close()
        super().close()

    def _greeted(self) -> list[Any]:
        return self.look("SELECT 1 FROM worker WHERE names <> '[]'")


class Terminal:
    """A command at a terminal of 100 columns."""

    def __init__(self, shell: Shell, *words: object, stderr: int | None = None) -> None:
        self._screen, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal if stderr is None else stderr,
            cwd=shell.path,
            env={**shell.environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(terminal)
        self._shown = b""

    @property
    def text(self) -> str:
        """What the screen has shown so far, without colours and movements."""
        return ESCAPES.sub("", self._shown.decode(errors="replace")).replace("\r\n", "\n")

    def expect(self, words: str) -> None:
        """Wait until these words are on the screen."""
        give_up = time.monotonic() + PATIENCE
        while words not in self.text:
            if time.monotonic() > give_up or not self._read():
                raise AssertionError(f"no {words!r} in {self.text!r}")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def end(self) -> tuple[int, str]:
        """The exit code and all that was shown, once the command has left."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up and self._read():
            pass
        os.close(self._screen)
        return self.process.wait(PATIENCE), self.text

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], PATIENCE)[0]:
            return False
        try:
            piece = os.read(self._screen, 65536)
        except OSError:  # how Linux says that nobody is there any more
            return False
        self._shown += piece
        return bool(piece)


def terminal(shell: Shell, *words: object) -> tuple[int, str]:
    """Run a command at a terminal; its exit code and what it showed."""
    return Terminal(shell, *words).end()


def opened(path: Path) -> Iterator[Shell]:
    """What a fixture yields."""
    shell = Shell(path)
    shell.write("some.py", JOBS)
    yield shell
    shell.close()
