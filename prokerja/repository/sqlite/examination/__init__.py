"""What is right and wrong with a file, told without changing it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from prokerja.errors import StoreError
from prokerja.model.check import Examination, State, of_error, ok
from prokerja.repository import is_path
from prokerja.repository.sqlite.database import as_store_error
from prokerja.repository.sqlite.examination.content import Content
from prokerja.repository.sqlite.examination.place import check_place
from prokerja.repository.sqlite.opening import MIN_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def examined(path: str) -> Iterator[Examination]:
    """See `repository.examined`."""
    if not is_path(path):
        yield Examination([ok("file", "the queue is in memory, and nobody else can see it")])
        return
    path = os.path.realpath(path)
    try:
        checks = list(check_place(path))
    except OSError as error:  # gone in the meantime
        gone = StoreError(f"{path}: {error.strerror}; look again")
        yield Examination([of_error("file", gone)])
        return
    if _size(path) < MIN_FILE_BYTES or any(check.state is State.FAILED for check in checks):
        yield Examination(checks)
        return
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        yield Examination([*checks, of_error("schema", as_store_error(error, path))])
        return
    with closing(connection):
        content = Content(connection, path)
        checks += content.checks()
        yield Examination(checks, content.is_current)


def _size(path: str) -> int:
    """In bytes; 0 for what is not there."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _connect(path: str) -> sqlite3.Connection:
    """A connection that leaves a log as it is when it is closed, the last one too.

    One that only reads would leave the files of a log behind where there was none.
    """
    from urllib.parse import quote

    mode = "ro" if _size(f"{path}-wal") else "rw"
    name = quote(os.fsencode(path))
    uri = f"file:{name}?mode={mode}"
    return sqlite3.connect(uri, timeout=0.0, uri=True, isolation_level=None)
