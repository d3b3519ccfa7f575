"""Connections do not cross a fork: a child closes those that it has inherited.

SQLite notes for a whole process what it has locked of a file. A child inherits the notes and not
the locks: what it opened beside such a connection would be locked by nobody, and whoever else
closes the file last would delete the log into which the child writes.
"""

from __future__ import annotations

import os
import sqlite3
from _weakref import ref  # `weakref` imports more than a command needs
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

PATIENCE_SECONDS = 1.0
"""For which a fork waits until no thread is in a transaction; such a connection is kept."""

_opened: list[ref[Database]] = []
_held: list[Database] = []
"""Those on which no other thread works during the fork."""


def close_in_children(database: Database) -> None:
    """Have it closed in every child that inherits it."""
    _opened[:] = [one for one in _opened if one() is not None]
    _opened.append(ref(database))


def _hold() -> None:
    for one in _opened.copy():
        database = one()
        if database is not None and database.lock.acquire(timeout=PATIENCE_SECONDS):
            _held.append(database)


def _free() -> None:
    while _held:
        _held.pop().lock.release()


def _close() -> None:
    for database in _held:
        with suppress(sqlite3.Error):
            if not database.connection.in_transaction:
                database.close()
    _opened.clear()
    _free()


os.register_at_fork(before=_hold, after_in_parent=_free, after_in_child=_close)
