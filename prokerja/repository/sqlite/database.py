"""One connection to one file: short write transactions that wait their turn, and clear errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from _thread import RLock  # `threading` imports more than a command needs
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prokerja.errors import Busy, Outdated, ProkerjaError, RequestError, StoreError, TryAgain
from prokerja.repository.sqlite import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from prokerja.repository.sqlite.event_log import EventLog

READ = "BEGIN"
UNREADABLE = (TypeError, ValueError, KeyError, OverflowError)
"""Errors of reading a file that another program has written or damaged."""
PATIENCE_SECONDS = 30.0
"""Seconds for which a write waits for the lock, by default."""
BEGUN_LOG_BYTES = 2 * 4096
"""A log of one page is not as long as that."""
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.0003, 0.002
OVERDUE_SECONDS, HOPELESS_SECONDS = 0.02, 0.5
"""Seconds of waiting between which a write asks more often."""
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_abandoned: list[sqlite3.Connection] = []
"""Connections that are never to be closed."""
PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, *BUSY}


class Database:
    """A connection in which every statement stands inside `reading()` or `writing()`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self.path = path
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.command = connection.cursor().execute
        """For statements of every transaction, whose rows are read at once: one cursor for all."""
        self.patience = PATIENCE_SECONDS
        """Seconds for which a transaction waits for its turn."""
        self.lock = RLock()
        """Held through each transaction, so that threads can share the connection."""
        self.logs_events = True
        """Whether to write down what happens."""
        self.before_commit: list[Callable[[], None]] = []
        """What a transaction still has to write."""
        self.on_commit: list[Callable[[], None]] = []
        self.on_rollback: list[Callable[[], None]] = []
        """What forgets, when a transaction fails, what was remembered in it."""

    @cached_property
    def log(self) -> EventLog:
        """What has happened; a transaction that has nothing to tell does not import it."""
        from prokerja.repository.sqlite.event_log import EventLog, NoLog

        return EventLog(self) if self.logs_events else NoLog()

    def writing(self, *, draining: bool = False) -> Transaction:
        """A write transaction, begun as such; committed at the end, rolled back on any error.

        Raises Outdated for a file that a newer program has migrated, unless `draining`: a worker
        may end what it has begun, which every migration lets it (see `schema`).
        """
        return Transaction(self, "BEGIN IMMEDIATE", refuses_newer=not draining)

    def reading(self) -> Transaction:
        """A read transaction: all its statements see the same moment."""
        return Transaction(self, READ, refuses_newer=False)

    def aside(self) -> Transaction:
        """A transaction on temporary tables, for which no other process has to wait."""
        return Transaction(self, "BEGIN DEFERRED", refuses_newer=False)

    def write(self, statement: str, given: Sequence[object]) -> Any:
        """A write transaction of this one statement; returns the row that it answers with.

        It has to go through `schema.REGISTER_VIEW`, which is how it meets a newer file: there is no
        moment between looking at the version and writing.
        """
        with self.lock:
            if self.connection.in_transaction:
                raise StoreError(f"{self.path}: a transaction is under way; end it first")
            try:
                [row] = retry_while_busy(self.execute, statement, self.patience, given).fetchall()
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self.refuse_newer()
                self.make_room(error)
                raise as_store_error(error, self.path) from error
        for notice in self.on_commit:
            notice()
        return row

    def durable(self, wanted: bool) -> None:
        """Whether a commit is on the disk when it returns, or only safe from a killed process."""
        with self.lock:  # not in the middle of another thread's transaction
            self.execute(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")

    @contextlib.contextmanager
    def syncing(self) -> Iterator[None]:
        """What is committed within is on the disk, whatever `durable` says."""
        with self.lock:
            [before] = self.execute("PRAGMA synchronous").fetchone()
            self.durable(True)
            try:
                yield
            finally:
                self.execute(f"PRAGMA synchronous = {before}")

    def refuse_newer(self) -> None:
        """Raise Outdated if the file, as the transaction at hand sees it, is not for us."""
        [version] = self.command("PRAGMA user_version").fetchone()
        if version > schema.VERSION:
            raise outdated(self.path, version)

    def meet_newer(self) -> None:
        """Raise Outdated for a file that a newer program has migrated."""
        with self.writing():
            pass

    def shorten_log(self) -> None:
        """Move the write-ahead log into the file and truncate it, unless others are using it."""
        with self.lock:
            try:
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                if primary_code(error) not in PASSING:
                    raise as_store_error(error, self.path) from error

    def renew_log(self) -> None:
        """Shorten it, and begin the next one: whoever writes first would do that, at a sync more.

        One that has just been begun stays, so that idle workers do not wake each other.
        """
        if self.file_bytes("-wal") > BEGUN_LOG_BYTES:
            self.shorten_log()
            if self.file_bytes("-wal") == 0:
                with contextlib.suppress(TryAgain), self.writing():  # or somebody else begins it
                    self.execute(f"PRAGMA user_version = {schema.VERSION}")

    def file_bytes(self, ending: str) -> int:
        """The size of the file of that ending; 0 if there is none, as of a database in memory."""
        try:
            return os.stat(f"{self.path}{ending}").st_size
        except OSError:
            return 0

    def make_room(self, error: BaseException) -> None:
        """After an error that says that the disk is full: what room there is, the log may hold."""
        if isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_FULL:
            self.shorten_log()

    def close(self) -> None:
        self.connection.close()

    def abandon(self) -> None:
        """Close it without the last one's duties: the log of that name may be another's by now."""
        if sys.version_info >= (3, 12):
            self.connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            self.connection.close()
        else:
            _abandoned.append(self.connection)


class Transaction:
    """What `with database.writing():` runs in; SQLite's errors leave it as ours."""

    __slots__ = ("begin", "database", "refuses_newer")

    def __init__(self, database: Database, begin: str, *, refuses_newer: bool) -> None:
        self.database = database
        self.begin = begin
        self.refuses_newer = refuses_newer
        """Whether to refuse a file that is newer than this program."""

    def __enter__(self) -> None:
        database = self.database
        database.lock.acquire()
        try:
            retry_while_busy(database.command, self.begin, database.patience)
        except sqlite3.Error as error:
            database.lock.release()
            raise as_store_error(error, database.path) from error
        if self.refuses_newer:
            try:
                database.refuse_newer()  # now that no other process can write
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self._end(error)
        finally:
            self.database.lock.release()

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            try:
                for finish in self.database.before_commit:
                    finish()
                retry_while_busy(self.database.command, "COMMIT")
            except BaseException as failure:
                self._abandon(failure)
                raise
            for notice in self.database.on_commit:
                notice()
        else:
            self._abandon(error)

    def _abandon(self, error: BaseException) -> None:
        """Roll back, and raise what the error means, if it is not ours."""
        self._roll_back()
        self.database.make_room(error)
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise as_store_error(error, self.database.path) from error
        if self.begin == READ and isinstance(error, (UnicodeEncodeError, OverflowError)):
            raise RequestError(f"cannot look for that: {error}; correct it") from None
        if self.begin == READ and isinstance(error, UNREADABLE):
            why = f"{self.database.path} is damaged: it holds what cannot be read ({error})"
            raise StoreError(f"{why}; restore a backup") from error
        if isinstance(error, (UnicodeEncodeError, OverflowError)):
            raise StoreError(f"{self.database.path} cannot hold it: {error}; correct it") from error

    def _roll_back(self) -> None:
        for forget in self.database.on_rollback:
            forget()
        if self.database.connection.in_transaction:
            self.database.execute("ROLLBACK")


def retry_while_busy(
    execute: Callable[[str, Sequence[object]], sqlite3.Cursor],
    statement: str,
    patience: float = PATIENCE_SECONDS,
    given: Sequence[object] = (),
) -> sqlite3.Cursor:
    """Execute again while another process is in the way, for `patience` seconds at most."""
    began = None
    while True:
        try:
            return execute(statement, given)
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            began = began or now
            if primary_code(error) not in BUSY or now - began >= patience:
                raise
            time.sleep(_pause(now - began) * (0.5 + os.urandom(1)[0] / 256))


def _pause(waited: float) -> float:
    """Seconds until the next try, on average, after so many seconds of them.

    Nobody keeps an order, and SQLite's own busy handler backs off to 100 ms. Here the pauses stay
    short, and who has waited for longer than most asks most often, so that none starves. But who
    has waited for very long stands behind something long, and need not hurry.
    """
    if OVERDUE_SECONDS < waited < HOPELESS_SECONDS:
        return MIN_PAUSE_SECONDS
    return min(max(waited / 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's error code without its extension."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def outdated(path: str, version: int) -> Outdated:
    """The error for a file whose schema has a number that this program does not know."""
    return Outdated(
        f"{path} was written by a newer prokerja (schema {version}, this one knows"
        f" {schema.VERSION})"
    )


def as_store_error(error: sqlite3.Error | UnicodeDecodeError, path: str) -> ProkerjaError:
    """One of our errors that says, in a line, what SQLite's means for the person who meets it."""
    if isinstance(error, UnicodeDecodeError):
        return StoreError(
            f"{path} is damaged: it contains text that is not UTF-8; restore a backup"
        )
    code = primary_code(error)
    text = " ".join(str(error).split())
    if code in BUSY:
        return Busy(f"{path} is kept locked by another process; try again")
    if code == sqlite3.SQLITE_FULL:
        return TryAgain(f"{path}: the disk is full; nothing was changed; make room and try again")
    if code in PASSING:
        return TryAgain(f"{path}: {text}; nothing was changed; check the disk and try again")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(f"{path} is read-only for this user; check its owner and mode")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{path} is not an SQLite database; pass another --db")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(f"{path} is damaged ({text}); restore a backup or try sqlite3's .recover")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"{path} cannot be opened; check that its directory can be written to")
    return StoreError(f"{path}: {text}; nothing was changed; check the file with `sqlite3`")
