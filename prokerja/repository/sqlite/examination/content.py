"""What is in a file, and whether it can be read and written."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from shlex import quote
from typing import TYPE_CHECKING

from prokerja.errors import Busy, StoreError
from prokerja.model.check import State, failed, of_error, ok, warning
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.database import (
    Database,
    as_store_error,
    outdated,
    retry_while_busy,
)
from prokerja.repository.sqlite.examination.holders import named, readers, writers
from prokerja.repository.sqlite.opening import MAX_LOG_BYTES, refuse_old_sqlite, version_of
from prokerja.text import escaped

if TYPE_CHECKING:
    from prokerja.model.check import Check

PATIENCE_SECONDS = 2.0
"""For which the write waits for its turn."""
MAX_INTEGRITY_SECONDS = 10.0
MAX_INTEGRITY_BYTES = 4 * 2**30
"""Bytes of a file above which looking at all of it is left to people."""
STEPS = 10_000
"""Of SQLite's machine, between two looks at the clock."""
SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
PROBE = "CREATE TABLE prokerja_doctor (x)", "INSERT INTO prokerja_doctor VALUES (zeroblob(131072))"
"""More than the cache may keep, so that it is written to the log before it is taken back."""


class Content:
    """A file that there is a connection to; a write is tried through another."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self.is_current = False
        """Whether it can be opened and read without a change to it; known after `checks`."""

    def checks(self) -> list[Check]:
        """Look at all that is in it."""
        path = self._path
        database = Database(self._connection, path)
        database.patience = PATIENCE_SECONDS
        try:
            refuse_old_sqlite()
            version, mode = version_of(database)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            failure = as_store_error(error, path)
            return [locked(path) if isinstance(failure, Busy) else of_error("schema", failure)]
        except StoreError as error:
            return [of_error("schema", error)]
        if version > schema.VERSION:
            return [of_error("schema", outdated(path, version))]
        whole = check_integrity(self._connection, path)
        self.is_current = (version, mode, whole.state) == (schema.VERSION, "wal", State.OK)
        log = check_log(path)  # before we write to it
        return [_check_version(version, mode), whole, log, check_writing(path)]


def _check_version(version: int, mode: str) -> Check:
    if mode != "wal":
        what = f"schema {version}, with a journal of mode {mode} in the place of a log"
        return warning("schema", what, "stop who sets it; the next command puts the log back")
    if version == schema.VERSION:
        return ok("schema", f"{version}, which is this program's")
    news = f"{version}; this program's next declaration or worker brings it to {schema.VERSION}"
    return ok("schema", news)


def check_integrity(
    connection: sqlite3.Connection, path: str, seconds: float = MAX_INTEGRITY_SECONDS
) -> Check:
    """Have SQLite look for damage, for so many seconds at the most."""
    by_hand = f"sqlite3 {quote(path)} 'PRAGMA quick_check'"
    limit = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > limit, STEPS)
    try:
        [size] = connection.execute(SIZE).fetchone()
        if size > MAX_INTEGRITY_BYTES:
            return ok("integrity", f"not looked at, the file is too large; `{by_hand}` does")
        [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            return of_error("integrity", as_store_error(error, path))
        what = f"no damage found in {seconds:g} s, which is not all of the file"
        return ok("integrity", f"{what}; `{by_hand}` looks at all of it")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return of_error("integrity", as_store_error(error, path))
    finally:
        connection.set_progress_handler(None, 0)
    if found == "ok":
        return ok("integrity", "no damage found")
    what = escaped(" ".join(found.removeprefix("*** in database main ***").split()))
    fix = "stop the workers, and restore a backup or try sqlite3's .recover"
    return failed("integrity", f"{path} is damaged: {what}", fix)


def check_writing(path: str) -> Check:
    """Write to the file, and take it back before it can be seen."""
    from urllib.parse import quote as in_uri

    uri = f"file:{in_uri(os.fsencode(path))}?mode=rw"
    with closing(sqlite3.connect(uri, timeout=0.0, uri=True, isolation_level=None)) as connection:
        began = time.monotonic()
        try:
            connection.execute("PRAGMA cache_size = 1")
            retry_while_busy(connection.execute, "BEGIN IMMEDIATE", PATIENCE_SECONDS)
            began = time.monotonic()
            for statement in PROBE:
                connection.execute(statement)
        except sqlite3.Error as error:
            failure = as_store_error(error, path)
            return locked(path) if isinstance(failure, Busy) else of_error("writing", failure)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    took = (time.monotonic() - began) * 1000
    return ok("writing", f"a write was tried and taken back in {took:.1f} ms")


def locked(path: str) -> Check:
    """That somebody holds the lock for too long, and who."""
    what = f"{path} is kept locked by {named(writers(path))}"
    return failed("writing", what, "wait until that has ended, or end it")


def check_log(path: str) -> Check:
    """Whether the log is moved into the file from time to time."""
    try:
        size = os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return ok("log", "empty")
    except OSError as error:
        return of_error("log", StoreError(f"{path}-wal: {error.strerror}; check its permissions"))
    if size <= 2 * MAX_LOG_BYTES:
        return ok("log", f"{size:,} bytes" if size else "empty")
    what = f"{path}-wal has {size:,} bytes"
    reading = readers(path)
    if reading:
        what = f"{what}, and is being read by {named(reading)}"
        return warning("log", what, "end what reads for that long; the next writer shortens it")
    return warning("log", what, "a worker shortens it as soon as nobody reads it; start one")
