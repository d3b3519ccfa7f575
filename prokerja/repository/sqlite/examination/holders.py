"""Who holds SQLite's locks on a file, as far as the kernel lists them."""

from __future__ import annotations

import os
from typing import NamedTuple

from prokerja.text import brief

WRITER = 120
"""The byte of the `-shm` file that is locked by who writes (see SQLite's walformat.html)."""
READERS = range(123, 128)
"""Those that are locked by who reads."""
END = 2**63


class Held(NamedTuple):
    """One line of the kernel's list."""

    pid: int
    is_write: bool
    first: int
    last: int


def writers(path: str) -> list[int]:
    """The processes that have a database locked for writing, ourselves left out."""
    log = {lock.pid for lock in _locks(f"{path}-shm") if lock.is_write and _covers(lock, WRITER)}
    return sorted(log | {lock.pid for lock in _locks(path) if lock.is_write})


def readers(path: str) -> list[int]:
    """The processes that are reading from a log, ourselves left out."""
    locks = _locks(f"{path}-shm")
    return sorted({lock.pid for lock in locks if any(_covers(lock, byte) for byte in READERS)})


def named(pids: list[int]) -> str:
    """Processes by number and command, at most three."""
    return " and ".join(map(_named, pids[:3])) or "another process"


def _locks(path: str) -> list[Held]:
    try:
        ending = f":{os.stat(path).st_ino}"
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:  # no such file, or a system without such a list
        return []
    rows = (line[-5:] for line in lines if "POSIX" in line and "->" not in line)
    found = (
        Held(int(pid), kind == "WRITE", int(first), END if last == "EOF" else int(last))
        for kind, pid, where, first, last in rows
        if where.endswith(ending)
    )
    return [one for one in found if one.pid not in (0, os.getpid())]


def _covers(lock: Held, byte: int) -> bool:
    return lock.first <= byte <= lock.last


def _named(pid: int) -> str:
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        words = []
    if words:
        words[0] = os.path.basename(words[0])
    return f"process {pid} ({brief(' '.join(words))})" if words else f"process {pid}"
