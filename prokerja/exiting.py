"""What a program has done when it ends, without being held up.

Jobs are declared by the process that ends. Functions are called in a child of it, forked when it
ends: so they may be closures, and see all as the program has left it.
"""

from __future__ import annotations

import atexit
import inspect
import os
import time
from contextlib import contextmanager
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
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from prokerja.model.declaration import Declaration
    from prokerja.queue import Queue
    from prokerja.repository.verbs import Repository
    from prokerja.types import Declarable, Terms

    Asked = tuple[Queue, str, Declarable, Terms]
    Made = tuple[Asked, Declaration]
    Late = tuple[Asked, TryAgain]

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
    if settings().tracing:  # a program that ends can start no thread to send spans any more
        from prokerja.tracing.provider import tracer

        tracer()
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
        now = time.time()
        for queue in dict.fromkeys(queue for queue, *_ in self.jobs):
            mine = [asked for asked in self.jobs if asked[0] is queue]
            late = _register(queue, _declarations(mine, now), now, patience)
            self.jobs = [asked for asked in self.jobs if asked[0] is not queue]
            if not final:
                self.jobs += [asked for asked, _ in late]
                continue
            for asked, error in late:
                _refuse(asked, error)

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
    try:
        _here.declare(PATIENCE_SECONDS)
    finally:
        if _here.jobs or _here.calls:
            fork_detached(_here.in_child)


def _declarations(jobs: list[Asked], now: float) -> list[Made]:
    """What the jobs have become, but for those that cannot be declared any more."""
    made: list[Made] = []
    for asked in jobs:
        _, directory, job, options = asked
        try:
            made.append((asked, declaration_of(job, options, now, directory)))
        except Exception as error:  # noqa: BLE001  it runs their code
            _refuse(asked, error)
    return made


def _register(queue: Queue, made: list[Made], now: float, patience: float) -> list[Late]:
    """Register all, or each for itself if one is refused; returns those that were too late."""
    try:
        with _patience(queue.repository, patience):
            queue.register([declaration for _, declaration in made], now)
    except TryAgain as error:
        return [(asked, error) for asked, _ in made]
    except Exception as error:  # noqa: BLE001  there is nobody above
        if len(made) == 1:
            _refuse(made[0][0], error)
            return []
        for n, one in enumerate(made):
            if late := _register(queue, [one], now, patience):
                # The others would wait as long, one after the other.
                return [(asked, late[0][1]) for asked, _ in made[n:]]
    return []


@contextmanager
def _patience(repository: Repository, seconds: float) -> Iterator[None]:
    usual, repository.patience = repository.patience, seconds
    try:
        yield
    finally:
        repository.patience = usual


def _refuse(asked: Asked, error: Exception) -> None:
    _, _, job, _ = asked
    name = type(job.job if isinstance(job, ConfiguredJob) else job).__name__
    if isinstance(error, ProkerjaError):
        complain(f"{name} was not declared at exit: {error}")
    else:
        complain(f"{name} was not declared at exit", error)


def _refuse_in_jobs(what: str) -> None:
    if running.current is not None:
        raise RequestError(f"{what} is for programs; a job declares what follows: self.declare()")
