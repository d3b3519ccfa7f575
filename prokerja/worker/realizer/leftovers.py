"""Threads, processes and tasks that a job has left: what can be ended is ended before the next job.

A process that has made a session of its own, as daemons do, was detached on purpose; it ends with
the realizer. What the job files have started when they were imported stays.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from prokerja.worker.realizer.left_tasks import cancel, left_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT_SECONDS = 0.1
"""For what ends by itself: threads of queues and executors do, a moment after their job."""
TERM_SECONDS, KILL_SECONDS = 1.1, 2.1
"""After which a process is killed that was asked to end, and given up."""
LOOK_SECONDS = 0.005
OURS = "prokerja-"
"""How threads are named that serve all jobs."""
MAX_NAMES = 3


class Left(NamedTuple):
    """What was found, in words, and whether it is still there."""

    what: str
    stays: bool


class Leftovers:
    """Knows what was there when it was made."""

    def __init__(self) -> None:
        self.has_started = False
        """Whether a job has started a process since; set by others."""
        self.has_threads = False
        """Whether there are threads that did not end."""
        self._threads = {*threading.enumerate()}
        self._count = threading.active_count()
        """As it was when there were no other threads."""
        self._processes = {*_children(os.getpid()), *_siblings()}

    def is_there(self) -> bool:
        """Whether there is anything; where nothing was started, it takes a microsecond."""
        if threading.active_count() != self._count:
            if self._new_threads():
                return True
            self._count = threading.active_count()
        if left_tasks():
            return True
        if self.has_started or _has_children():
            self.has_started = False
            return any(True for _ in self._processes_left())
        return False

    def end(self) -> list[Left]:
        """End what can be ended, and tell of all."""
        left = []
        if tasks := left_tasks():
            names = [task.get_name() for task in tasks]
            cancel(tasks)
            left.append(Left(counted("task", names), stays=False))
        if threads := self._lasting_threads():
            self.has_threads = True
            left.append(Left(counted("thread", [one.name for one in threads]), stays=True))
        if names := self._end_processes(gently=not threads):
            left.append(Left(counted("process", names), stays=False))
        return left

    def _new_threads(self) -> list[threading.Thread]:
        """Those that a job has started; a library in C keeps what it has for all jobs."""
        found = [one for one in threading.enumerate() if one not in self._threads]
        return [
            one
            for one in found
            if type(one).__name__ != "_DummyThread" and not one.name.startswith(OURS)
        ]

    def _lasting_threads(self) -> list[threading.Thread]:
        """Those that do not end within a moment."""
        give_up = time.monotonic() + MOMENT_SECONDS
        found = self._new_threads()
        for thread in found:
            thread.join(max(give_up - time.monotonic(), 0.0))
        return [one for one in found if one.is_alive()]

    def _end_processes(self, *, gently: bool) -> list[str]:
        """The names of those that do not end by themselves; they have time to end when asked.

        But not where there are threads, which may start them again and again.
        """
        names: list[str] = []
        asked: set[tuple[int, signal.Signals]] = set()
        began = time.monotonic()
        while left := [*self._processes_left()]:
            past = time.monotonic() - began
            if past >= MOMENT_SECONDS:
                names = names or [_name(pid) for pid in left]
                number = signal.SIGTERM if past < TERM_SECONDS else signal.SIGKILL
                _signal({(pid, number) for pid in left} - asked)
                asked |= {(pid, number) for pid in left}
                if past > KILL_SECONDS or not gently:
                    break
            time.sleep(LOOK_SECONDS)
        return names

    def _processes_left(self) -> Iterator[int]:
        """What runs in our session and has not been there before; reaps what has ended."""
        ours, pool = os.getsid(0), _of_multiprocessing()
        found = {*_children(os.getpid()), *_siblings(), *pool} - self._processes - _helpers()
        for pid in found:
            with suppress(OSError):  # it has ended meanwhile
                if os.getsid(pid) == ours and (pid in pool or not _reaped(pid)):
                    yield pid


def _signal(wanted: set[tuple[int, signal.Signals]]) -> None:
    for pid, number in wanted:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _reaped(pid: int) -> bool:
    """Whether a child has ended, which is then forgotten; others are not ours to reap."""
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return ended == pid


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children(pid: int) -> set[int]:
    """The processes whose parent that one is."""
    found: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found.update(map(int, _read(f"/proc/{pid}/task/{task}/children").split()))
    except OSError:  # there is no such folder here
        return _children_by_search(pid)
    return found


def _children_by_search(pid: int) -> set[int]:
    import psutil

    with suppress(psutil.Error, OSError):
        return {child.pid for child in psutil.Process(pid).children()}
    return set()


def _siblings() -> set[int]:
    """What has lost its parent since a job has started it; this process is among them."""
    return _children(os.getppid()) if sys.platform == "linux" else set()


def _of_multiprocessing() -> set[int]:
    """Its living children, which it reaps itself."""
    module = sys.modules.get("multiprocessing.process")
    return {child.pid for child in module.active_children()} if module else set()


def _helpers() -> set[int]:
    """Processes that multiprocessing keeps for as long as this one lives."""
    found: set[int] = set()
    if tracker := sys.modules.get("multiprocessing.resource_tracker"):
        found.add(getattr(tracker._resource_tracker, "_pid", None) or 0)  # noqa: SLF001
    if server := sys.modules.get("multiprocessing.forkserver"):
        found.add(getattr(server._forkserver, "_forkserver_pid", None) or 0)  # noqa: SLF001
    return found


def _name(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip() or str(pid)


def _read(path: str) -> bytes:
    """A file of /proc; nothing if what it tells of has ended."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def counted(noun: str, names: list[str]) -> str:
    """How many of them there are, with the first names."""
    plural = f"{noun}es" if noun == "process" else f"{noun}s"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    count = "a" if len(names) == 1 else str(len(names))
    return f"{count} {noun if len(names) == 1 else plural} ({', '.join(names[:MAX_NAMES])}{more})"


def leave_without_threads() -> NoReturn:
    """End the process as Python does, but wait for no thread."""
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)
