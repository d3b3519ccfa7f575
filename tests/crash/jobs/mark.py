"""Jobs that keep a book of their own, by which a proof can tell what was really run."""

import fcntl
import os
import sys
import time
from dataclasses import dataclass
from functools import cache

from prokerja import Await, Job

DYING = 0.05
"""Seconds that a killed process may take to let go of its locks."""

LIMIT = 2**40
"""Stands for the limit, where others stand for the numbers of jobs."""


@dataclass
class Mark(Job):
    """Write down that number `n` begins, take so many seconds, write down that it has ended
    (and fail, if asked to). In between, do so many steps, and write down what they gave.

    Byte `n` of the book's lock file is locked meanwhile, and let go by the kernel if this
    process dies: who finds it locked has met another living process at the same job. So is the
    byte of the limit of 1 that it is under, if it is.
    """

    n: int
    seconds: float = 0.0
    fails: bool = False
    steps: int = 0
    awaits: bool = False
    limited: bool = False
    retries = 1000
    retry_after = 0.0

    def handle(self) -> Await | None:
        """One realization; perhaps it is resolved from outside then."""
        alone = _locked(self.n) and (not self.limited or _locked(LIMIT))
        _write("begin" if alone else "overlap", self.n)
        for step in range(self.steps):
            value = self.step(str(step), time.monotonic_ns)
            os.write(_values(), f"{self.n} {step} {value}\n".encode())
        if self.seconds:
            time.sleep(self.seconds)
        _write("end", self.n)
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, self.n)
        fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, LIMIT)
        if self.fails:
            raise RuntimeError("as asked")
        return Await() if self.awaits else None


def _write(what: str, n: int) -> None:
    line = f"{what} {n} {os.getpid()} {_supervisor()} {time.monotonic_ns()}\n"
    os.write(_book(), line.encode())


def _locked(n: int) -> bool:
    give_up = time.monotonic() + DYING
    while True:
        try:
            fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, n)
        except OSError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.001)
        else:
            return True


def _supervisor() -> int:
    """The parent of the reaper, where the system has one; 1 if it has died in the meantime."""
    parent = os.getppid()
    if sys.platform != "linux":
        return parent
    with open(f"/proc/{parent}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


@cache
def _book() -> int:
    path = os.environ["PROKERJA_CRASH_BOOK"]
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


@cache
def _locks() -> int:
    path = os.environ["PROKERJA_CRASH_BOOK"] + ".locks"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@cache
def _values() -> int:
    path = os.environ["PROKERJA_CRASH_BOOK"] + ".steps"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
