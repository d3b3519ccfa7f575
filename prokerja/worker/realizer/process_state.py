"""What a job may change in its process for the jobs after it, and putting that back.

Reading all of it takes some 40 us, more than a short job does. So calls of the functions that
change it are noticed, and it is read after a job that made one, after each job that was long
anyway, and now and then, for changes made in other ways.
"""

from __future__ import annotations

import gc
import locale
import os
import resource
import signal
import socket
import sys
import warnings
from contextlib import suppress
from functools import partial, wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.worker.realizer.leftovers import Leftovers

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = frozenset(
    ("import", "os.chdir", "os.putenv", "os.unsetenv", "resource.setrlimit", "resource.prlimit")
)
"""Audit events of changes, and of an import, which may make any."""
STARTS = frozenset(("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"))
"""Those of a process that starts."""
FUNCTIONS = {
    "faulthandler": ("dump_traceback_later",),
    "gc": ("enable", "disable"),
    "locale": ("setlocale",),
    "logging": ("disable",),
    "logging.Logger": ("addHandler", "removeHandler", "setLevel"),
    "multiprocessing.process.BaseProcess": ("start",),
    "os": ("chroot", "nice", "sched_setaffinity", "setegid", "seteuid", "setgid", "setgroups",
           "setpriority", "setuid", "umask"),
    "signal": ("alarm", "pthread_sigmask", "set_wakeup_fd", "setitimer", "signal"),
    "socket": ("setdefaulttimeout",),
    "sys": ("setprofile", "setrecursionlimit", "settrace"),
    "threading.Thread": ("start",),
    "time": ("tzset",),
    "warnings": ("filterwarnings", "resetwarnings", "simplefilter"),
}  # fmt: skip
"""Functions that change it and raise no audit event."""
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
SIGNALS = sorted(signal.valid_signals())


class Part(NamedTuple):
    """One thing that can be changed."""

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    """Makes it what `read` gave before; raises an exception if it cannot."""


class ProcessState:
    """As the job files have left it, when this is made."""

    def __init__(self) -> None:
        self.touched = False
        """Whether anything that changes it was called."""
        self._variables: set[str | bytes] = set()
        """Names of environment variables that were set or removed."""
        self._environment = os.environ
        self._values = dict(os.environ)
        self._overheard: set[str] = set()
        self._saved = [(part, part.read()) for part in _parts()]
        self._overhear_calls()
        self.leftovers = Leftovers()
        sys.addaudithook(self._on_event)

    def restore(self) -> list[str]:
        """Put back what has changed; returns what could not be, in words."""
        self._overhear_calls()
        self._restore_environment()
        if faulthandler := sys.modules.get("faulthandler"):
            faulthandler.cancel_dump_traceback_later()
        lost = [part.what for part, before in self._saved if not _put_back(part, before)]
        self.touched = False
        return lost

    def _restore_environment(self) -> None:
        os.environ = self._environment  # noqa: B003  it may have been replaced as a whole
        names, self._variables = self._variables, set()
        for name in map(os.fsdecode, names):
            before = self._values.get(name)
            if before is not None:
                os.environ[name] = before
            else:
                os.environ.pop(name, None)
                os.unsetenv(name)
        self._variables.clear()
        if names & {"TZ", b"TZ"}:
            import time

            time.tzset()

    def _on_event(self, event: str, given: tuple[Any, ...]) -> None:
        if event in EVENTS:
            self.touched = True
            if event in ("os.putenv", "os.unsetenv"):
                self._variables.add(given[0])
        elif event in STARTS:
            self.touched = self.leftovers.has_started = True

    def _overhear_calls(self) -> None:
        """Put ourselves before the functions of modules that have been imported since."""
        for place in FUNCTIONS.keys() - self._overheard:
            module, _, inside = place.partition(".")
            if found := sys.modules.get(module):
                self._overheard.add(place)
                owner = attrgetter(inside)(found) if inside else found
                for name in FUNCTIONS[place]:
                    if function := getattr(owner, name, None):
                        setattr(owner, name, self._overhearing(function))

    def _overhearing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.touched = True
            return function(*args, **kwargs)

        return call


def _put_back(part: Part, before: Any) -> bool:
    for _ in range(2):
        with suppress(Exception):  # what cannot be read has changed
            if part.read() == before:
                return True
            part.write(before)
    return False


def _parts() -> list[Part]:
    flags = os.O_PATH if sys.platform == "linux" else os.O_RDONLY
    directory = os.open(".", flags | os.O_CLOEXEC)
    names = {value: key for key, value in vars(resource).items() if key.startswith("RLIMIT_")}
    parts = [
        Part("the root directory", partial(_identity, "/"), _fail),
        Part("the working directory", partial(_identity, "."), lambda _: os.fchdir(directory)),
        Part("its user or group", _user, _fail),
        Part("the umask", _umask, os.umask),
        Part("the priority", _priority, partial(os.setpriority, os.PRIO_PROCESS, 0)),
        *(
            Part(f"the limit {name}", partial(resource.getrlimit, limit),
                 partial(resource.setrlimit, limit))
            for limit, name in names.items()
        ),
        Part("a timer", _timers, _set_timers),
        Part("the signal mask", _signal_mask, partial(signal.pthread_sigmask, signal.SIG_SETMASK)),
        Part("a signal handler", _handlers, _set_handlers),
        Part("the time-out of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Part("the locale", partial(locale.setlocale, locale.LC_ALL),
             partial(locale.setlocale, locale.LC_ALL)),
        Part("sys.path", lambda: list(sys.path), partial(_set_list, sys.path, "path")),
        Part("sys.argv", lambda: list(sys.argv), partial(_set_list, sys.argv, "argv")),
        Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        Part("the tracer", sys.gettrace, sys.settrace),
        Part("the profiler", sys.getprofile, sys.setprofile),
        Part("the garbage collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        Part("the filters of warnings", lambda: list(warnings.filters), _set_filters),
        Part("logging", *_logging()),
    ]  # fmt: skip
    if sys.platform == "linux":
        affinity = partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0)
        parts.append(Part("the processors it may use", *affinity))
    return parts


def _fail(_: Any) -> None:
    raise OSError("there is no way back")


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _user() -> Any:
    return os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _timers() -> list[bool]:
    return [signal.getitimer(timer)[0] > 0 for timer in TIMERS]


def _set_timers(before: list[bool]) -> None:
    for timer, was_on in zip(TIMERS, before, strict=True):
        if not was_on:
            signal.setitimer(timer, 0)


def _signal_mask() -> set[Any]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


def _set_handlers(before: list[Any]) -> None:
    for number, handler in zip(SIGNALS, before, strict=True):
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _set_list(original: list[str], name: str, before: list[str]) -> None:
    original[:] = before
    setattr(sys, name, original)


def _set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = before  # type: ignore[index]


def _logging() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Handlers and levels of the root logger, and of those that are there already."""
    module = sys.modules.get("logging")
    names = [None, *module.root.manager.loggerDict] if module else [None]

    def read() -> Any:
        logging = sys.modules.get("logging")
        if logging is None:  # as it is when it is imported
            return [([], 30, True, False)], 0
        loggers = map(logging.getLogger, names)
        states = [(one.handlers.copy(), one.level, one.propagate, one.disabled) for one in loggers]
        return states, logging.root.manager.disable

    def write(before: Any) -> None:
        import logging

        states, logging.root.manager.disable = before
        for name, state in zip(names, states, strict=True):
            logger = logging.getLogger(name)
            logger.handlers[:], _, logger.propagate, logger.disabled = state
            logger.setLevel(state[1])

    return read, write
