"""The door in, for programs and for commands: declare work and look after it."""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from prokerja import repository
from prokerja.queue_control import QueueControl
from prokerja.settings import Settings, settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType
    from typing import Any, Self, Unpack

    from prokerja.catalog.refresh import KnownJob
    from prokerja.events import Event
    from prokerja.listening import Listener
    from prokerja.model.declaration import Declaration, Ids, Status
    from prokerja.repository.verbs import Repository
    from prokerja.types import Changes, Declarable, Terms

_stand_ins: list[Queue] = []
"""Default queues for a while, the latest last."""


class Queue(QueueControl):
    """One database file, with the verbs of `prokerja declare` and its kin.

    `path` is the file, `:memory:` for a queue that lives as long as this object, or None for the
    file that the settings name. Opening it makes it. Threads may share a Queue; a forked process
    opens the file anew by itself. `with Queue(...) as queue` closes it at the end.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._settings = settings(None if path is None else os.fspath(path))
        self._open(create=True)

    @classmethod
    def of(cls, where: Settings, *, create: bool = True) -> Queue:
        """The queue that settled settings name; NotFound if it is not there and not to be made."""
        queue = cls.__new__(cls)
        queue._settings = where  # noqa: SLF001  its own
        queue._open(create=create)  # noqa: SLF001
        return queue

    def _open(self, *, create: bool) -> None:
        self.path = self._settings.db
        self._process = os.getpid()
        self._repository = repository.open(self.path, create=create, events=self._settings.events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    @property
    def repository(self) -> Repository:
        """What is stored in the file; for those who need more than the verbs below."""
        if self._process != os.getpid() and self._repository.is_shared:
            # A connection must not cross a fork, not even to be closed.
            self._inherited = self._repository
            self._open(create=True)
        return self._repository

    def declare(
        self,
        job: Declarable,
        *,
        connection: sqlite3.Connection | None = None,
        **options: Unpack[Terms],
    ) -> int:
        """Register a request to run `job`; returns its id, once it is on the disk.

        Options: queue, priority, delay (seconds), at (epoch seconds or datetime), retries,
        retry_after, timeout (seconds), label, batch, and what it waits for: hold, after,
        if_parent_fails, after_batch, expires; what it shares with others: limit, limit_key, lock,
        rate, rate_key, needs, fair_key; on_failure, a command; with `coalesce`, the id of the job
        that stands for that key, if one is open. With `connection`, an open sqlite3 connection to
        the same file, the request is written through it and exists if and only if its transaction
        commits.
        Raises RequestError for what is not a job or no option, TryAgain if the file is locked.
        """
        now = self._now()
        [declaration] = self._declarations((job,), options, now)
        return self.register((declaration,), now, connection)[0]

    def declare_many(self, jobs: Iterable[Declarable], **options: Unpack[Terms]) -> range | Ids:
        """Register all jobs or none, in one transaction; returns their ids, in order."""
        now = self._now()
        return self.register(self._declarations(jobs, options, now), now)

    def _declarations(
        self, jobs: Iterable[Declarable], options: Terms, now: float
    ) -> Iterator[Declaration]:
        from prokerja.checking import declarations_of

        return declarations_of(jobs, options, now, self._settings.jobs)

    def known_job(self, name: str) -> KnownJob:
        """What is known of a job by its name, after a look at the job files.

        Raises UnknownJob, naming jobs that sound alike.
        """
        from prokerja.catalog.refresh import known_job

        return known_job(self.repository, self._settings, name)

    def register(
        self,
        declarations: Iterable[Declaration],
        now: float,
        connection: sqlite3.Connection | None = None,
    ) -> range | Ids:
        """Register declarations that are made already, all or none; returns their ids, in order."""
        if not self._settings.tracing:
            return self.repository.declare(declarations, now, connection)
        from prokerja.tracing.declaring import declare_traced

        declare = self.repository.declare
        return declare_traced(declarations, lambda made: declare(made, now, connection))

    def retry(self, *ids: int) -> None:
        """Put failed jobs back with their attempts counted anew; make pending ones due now."""
        self.repository.retry(ids, self._now())

    def retry_failed(self, queue: str | None = None, job: str | None = None) -> int:
        """Put all failed jobs back, of a queue or of a name if given; returns how many."""
        return self.repository.retry_failed(queue, job, self._now())

    def resolve(self, id: int, data: Any = None, token: str | None = None) -> None:
        """Hand an awaiting job what it waits for, a JSON value; a worker then goes on with it.

        Raises NotFound if there is no such job, NotAwaiting, with its status, if it does not wait,
        and RequestError if `token` is given and is not the job's. A job that runs is given a
        second to begin waiting.
        """
        from prokerja.resolving import resolve

        resolve(self.repository, id, data, token, self._now)

    def cancel(self, *ids: int, why: str | None = None) -> int:
        """End jobs that have not ended, all or none; they fail, and are not retried.

        Returns how many of them run, and are yet to be stopped by their workers. Raises NotFound
        or RequestError naming the first that is not there or has ended.
        """
        from prokerja.lifecycle import cancelled

        return self.repository.cancel(ids, cancelled(why), self._now())

    def cancel_matching(
        self,
        queue: str | None = None,
        job: str | None = None,
        label: str | None = None,
        batch: str | None = None,
        why: str | None = None,
    ) -> tuple[int, int]:
        """End all jobs that match and have not ended; returns how many, and how many of them run.

        Without a queue, a name, a label or a batch, all match.
        """
        from prokerja.lifecycle import cancelled
        from prokerja.model.record import Filter

        wanted = Filter(None, queue, job, label, batch=batch)
        return self.repository.cancel_matching(wanted, cancelled(why), self._now())

    def hold(self, *ids: int) -> None:
        """Keep pending jobs from running until they are released, all or none.

        Raises NotFound or RequestError naming the first that is not there or not pending.
        """
        self.repository.hold(ids)

    def release(self, *ids: int) -> None:
        """Hold jobs no longer, all or none.

        Raises NotFound or RequestError naming the first that is not there or not held.
        """
        self.repository.release(ids)

    def change(self, *ids: int, **changes: Unpack[Changes]) -> None:
        """Change pending jobs, all or none: queue, priority, delay or at, retries, and so on.

        What is left out stays as it is; None takes a time limit, a label or a batch away. Raises
        NotFound or RequestError naming the first that is not there or not pending.
        """
        from prokerja.changing import change_of

        now = self._now()
        self.repository.change(ids, change_of(changes, now), now)

    def suspend(self, *ids: int) -> None:
        """Stop running jobs with all they have started, all or none, until they are resumed.

        Their time limits stand still meanwhile. Raises NotFound or NotRunning naming the first
        that is not there or does not run.
        """
        self.repository.suspend(ids, self._now())

    def resume(self, *ids: int) -> None:
        """Continue suspended jobs, all or none.

        Raises NotFound or NotRunning naming the first that is not there or not suspended.
        """
        self.repository.resume(ids)

    def purge(self, status: Status, before: float, queue: str | None = None) -> int:
        """Delete jobs of a status that ended (if pending: were due) before that moment.

        Returns how many; processing ones are never deleted (ValueError).
        """
        return self.repository.purge(status, before, queue, now=self._now())

    def events(
        self, since: str | float | datetime | None = None, *, limit: int = 1000
    ) -> list[Event]:
        """What has happened to jobs, queues and workers, in order, `limit` events at the most.

        `since` is the cursor of an event, to go on after it, or a moment; None for all that is
        kept. Raises BadOption for anything else.
        """
        from prokerja import reading

        return reading.events(self.repository, since, limit)

    def listen(
        self, kind: Any, callback: Callable[[Any], object], *, patience: float = 10.0
    ) -> Listener:
        """Call a function, in a thread of its own, with each event of a kind from now on.

        `kind` is a class of `prokerja.events`, several, or a union of them. An error of the
        function, and a call that takes longer than `patience` seconds, is told of by the logger
        `prokerja`, and changes nothing. The listener's `stop()` ends it. Raises RequestError for
        what is no kind or cannot be called.
        """
        from prokerja.listening import Listener, checked, log

        call = checked(kind, callback, patience)
        return Listener(self.repository, self.repository.event_position(None), call, log)

    def close(self) -> None:
        """Close the file; a forked process that has only inherited it leaves it alone."""
        if self._process == os.getpid():
            self._repository.close()


def declare(job: Declarable, **options: Unpack[Terms]) -> int:
    """Register a request to run `job` in the default file; see `Queue.declare`."""
    return default_queue().declare(job, **options)


def declare_many(jobs: Iterable[Declarable], **options: Unpack[Terms]) -> range | Ids:
    """Register all jobs or none in the default file; see `Queue.declare_many`."""
    return default_queue().declare_many(jobs, **options)


def default_queue() -> Queue:
    """The queue that the settings name: opened once, and closed when the program ends."""
    return _stand_ins[-1] if _stand_ins else _default(settings().db)


@contextmanager
def default_replaced(queue: Queue) -> Iterator[None]:
    """Have `queue` be the default one meanwhile, for all threads; it may be done anew inside."""
    _stand_ins.append(queue)
    try:
        yield
    finally:
        _stand_ins.remove(queue)


@cache
def _default(path: str) -> Queue:
    queue = Queue(path)
    atexit.register(queue.close)
    return queue
