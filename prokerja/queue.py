"""The door in, for programs and for commands: declare work and look after it."""

from __future__ import annotations

import atexit
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from prokerja.errors import RequestError
from prokerja.repository.sqlite.repository import Repository
from prokerja.request import ASKS_NOTHING, Options, from_job
from prokerja.settings import settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from prokerja.model import Declaration

KNOWN = frozenset(Options._fields)


class Queue:
    """One database file, with the verbs of `prokerja declare` and its kin.

    `path` is the file, `:memory:` for a queue that lives as long as this object, or None for the
    file that the settings name. Opening it makes it. Threads may share a Queue; a forked process
    opens the file anew by itself.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        where = settings(None if path is None else os.fspath(path))
        self.path = where.db
        self._jobs = where.jobs
        self._open()

    @property
    def repository(self) -> Repository:
        """What is stored in the file; for those who need more than the verbs below."""
        if self._process != os.getpid() and self.path != ":memory:":
            # An SQLite connection must not cross a fork, not even to be closed.
            self._inherited = self._repository
            self._open()
        return self._repository

    def declare(
        self, job: Any, *, connection: sqlite3.Connection | None = None, **options: Any
    ) -> int:
        """Register a request to run `job`; returns its id, once it is on the disk.

        Options: queue, priority, delay (seconds), at (epoch seconds or datetime), retries,
        retry_after, timeout (seconds). With `connection`, an open sqlite3 connection to the same
        file, the request is written through it and exists if and only if its transaction commits.
        Raises RequestError for what is no job or no option, TryAgain if the file is locked.
        """
        now = time.time()
        declaration = from_job(job, now, _options(options), self._jobs)
        if connection is not None:
            return self._declare_within(connection, declaration, now)
        return self.repository.declarations.add_one(declaration, now)

    def declare_many(self, jobs: Iterable[Any], **options: Any) -> range:
        """Register all jobs or none, in one transaction; returns their ids, in order."""
        now = time.time()
        given, directory = _options(options), self._jobs
        made = (from_job(job, now, given, directory) for job in jobs)
        return self.repository.declarations.add(made, now)

    def retry(self, *ids: int) -> None:
        """Put failed jobs back with their attempts counted anew; make pending ones due now."""
        self.repository.declarations.retry(ids, time.time())

    def close(self) -> None:
        """Close the file; a forked process that has only inherited it leaves it alone."""
        if self._process == os.getpid():
            self._repository.close()

    def _open(self) -> None:
        self._process = os.getpid()
        self._repository = Repository(self.path)

    def _declare_within(
        self, connection: sqlite3.Connection, declaration: Declaration, now: float
    ) -> int:
        from prokerja.repository.sqlite.within import insert_within

        return insert_within(connection, self.repository.path, declaration, now)


def declare(job: Any, **options: Any) -> int:
    """Register a request to run `job` in the default file; see `Queue.declare`."""
    return _default(settings().db).declare(job, **options)


def declare_many(jobs: Iterable[Any], **options: Any) -> range:
    """Register all jobs or none in the default file; see `Queue.declare_many`."""
    return _default(settings().db).declare_many(jobs, **options)


@cache
def _default(path: str) -> Queue:
    queue = Queue(path)
    atexit.register(queue.close)
    return queue


def _options(options: dict[str, Any]) -> Options:
    if not options:
        return ASKS_NOTHING
    if not options.keys() <= KNOWN:
        unknown = options.keys() - KNOWN
        raise RequestError(
            f"unknown option {', '.join(sorted(unknown))}; there are {', '.join(Options._fields)}"
        )
    return Options(**options)
