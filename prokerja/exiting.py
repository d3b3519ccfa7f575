"""What a program has done when it ends, without being held up.

Jobs are declared by the process that ends. Functions are called in a child of it, forked when it
ends: so they may be closures, and see all as the program has left it.
"""

from __future__ import annotations

import atexit
import inspect
import os
import time
from typing import TYPE_CHECKING, ParamSpec

from prokerja import running
from prokerja.checking import declaration_of
from prokerja.configured_job import ConfiguredJob
from prokerja.errors import ProkerjaError, RequestError, TryAgain
from prokerja.forking import can_fork_at_exit, complain, fork_detached
from prokerja.queue import default_queue
from prokerja.settings import settings
from prokerja.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from prokerja.queue import Queue
    from prokerja.types import Declarable, Terms

    Asked = tuple[Queue, str, Declarable, Terms]

P = ParamSpec("P")
PATIENCE_SECONDS, CHILD_PATIENCE_SECONDS = 0.1, 30.0
"""For which a locked queue holds the program up, and for which a child then goes on trying."""


def declare_at_exit(job: Declarable, **options: Unpack[Terms]) -> None:
    """Declare a job in the default file when this program ends.

    Takes the options of `prokerja.declare`; what cannot be declared is refused at once. The
    process that ends declares the job as it is then, and syncs: a few milliseconds. Where the file
    is locked for longer than 0.1 s, a child goes on trying, for 30 s, and has the log of
    `at_exit` for what it has to say. A program declares nothing that is killed, also by a TERM
    that it does not handle, or ends by `os._exit()` or `os.exec*()`.
    """
    _refuse_in_jobs("declare_at_exit")
    queue, directory = default_queue(), settings().jobs
    if not queue.repository.is_shared:
        raise RequestError("a queue in memory ends with the program; set PROKERJA_DB to a path")
    declaration_of(job, options, time.time(), directory)
    _todo().jobs.append((queue, directory, job, options))


def at_exit(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call a function in a detached process when this program ends, which does not wait for it.

    Functions are called one after the other, in the order in which they were given, in a child
    that is forked when Python calls exit functions: after all threads but daemons have ended. It
    has a session of its own and no stdin; what it prints, and the traceback of a function that
    fails, goes to a file beside the default queue whose name ends in `-exit.log`. A program calls
    nothing that is killed, as with `declare_at_exit`.
    """
    _refuse_in_jobs("at_exit")
    if not callable(function):
        raise RequestError(f"at_exit: {shown(function)} cannot be called; give a function")
    if inspect.iscoroutinefunction(function):
        raise RequestError("at_exit: a coroutine has no event loop there; give a plain function")
    if not can_fork_at_exit():
        raise RequestError("at_exit: Python 3.12.0 to 3.12.2 cannot fork at exit; use 3.12.3")
    _todo().calls.append(lambda: function(*args, **kwargs))


class _Todo:
    """What one process has to do when it ends."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.jobs: list[Asked] = []
        self.calls: list[Callable[[], object]] = []

    def declare(self, patience: float, *, final: bool = False) -> None:
        """Declare the jobs; unless it is final, keep those whose queue is busy for so long."""
        jobs, self.jobs = self.jobs, []
        for queue in dict.fromkeys(queue for queue, *_ in jobs):
            usual, queue.repository.patience = queue.repository.patience, patience
            mine = [asked for asked in jobs if asked[0] is queue]
            self.jobs += _declare(queue, mine, final=final)
            queue.repository.patience = usual

    def in_child(self) -> None:
        """Do what is left, and what that asks for in its turn."""
        self.process = os.getpid()
        while self.jobs or self.calls:
            self.declare(CHILD_PATIENCE_SECONDS, final=True)
            if self.calls:
                call = self.calls.pop(0)
                try:
                    call()
                except BaseException as error:  # noqa: BLE001  the next one is to be called
                    complain("a function given to at_exit failed", error)


_here: _Todo | None = None


def _todo() -> _Todo:
    """That of this process, which is done before what it needs is closed."""
    global _here  # noqa: PLW0603
    if _here is None or _here.process != os.getpid():
        _here = _Todo()
    atexit.unregister(_end)
    atexit.register(_end)
    return _here


def _end() -> None:
    if _here is None or _here.process != os.getpid():
        return
    _here.declare(PATIENCE_SECONDS)
    if _here.jobs or _here.calls:
        fork_detached(_here.in_child)


def _declare(queue: Queue, jobs: list[Asked], *, final: bool) -> list[Asked]:
    """Declare jobs, each for itself if they cannot be declared together; returns the late ones."""
    now = time.time()
    try:
        queue.register(
            [declaration_of(job, options, now, directory) for _, directory, job, options in jobs],
            now,
        )
    except ProkerjaError as error:
        if isinstance(error, TryAgain) and not final:
            return jobs
        if len(jobs) > 1:
            return [late for one in jobs for late in _declare(queue, [one], final=final)]
        job = jobs[0][2]
        name = type(job.job if isinstance(job, ConfiguredJob) else job).__name__
        complain(f"{name} was not declared at exit: {error}")
    return []


def _refuse_in_jobs(what: str) -> None:
    if running.current is not None:
        raise RequestError(f"{what} is for programs; a job declares what follows: self.declare()")
