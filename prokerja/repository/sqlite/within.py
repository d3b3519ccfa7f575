"""Declaring within the caller's own transaction, through its connection."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from prokerja.errors import RequestError
from prokerja.repository.sqlite.database import Database, as_store_error
from prokerja.repository.sqlite.declarations import Declarations
from prokerja.repository.sqlite.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.model.declaration import Declaration, Ids


def insert_within(
    connection: sqlite3.Connection,
    path: str,
    declarations: Sequence[Declaration],
    now: float,
    *,
    events: bool = True,
) -> range | Ids:
    """Write the declarations through `connection`; returns their ids.

    They stand or fall with the caller's transaction. A connection that begins transactions by
    itself does so here; one in autocommit mode must have begun one. Raises RequestError for a
    connection to another file, or without a transaction.
    """
    ways = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        database = Database(connection, path)
        database.logs_events = events
        return _insert(database, declarations, now)
    except sqlite3.Error as error:
        raise as_store_error(error, path) from error
    finally:
        connection.row_factory, connection.text_factory = ways


def _insert(database: Database, declarations: Sequence[Declaration], now: float) -> range | Ids:
    [main] = [file for _, name, file in database.execute("PRAGMA database_list") if name == "main"]
    if not main or os.path.realpath(main) != database.path:
        raise RequestError(
            f"the connection is to {main or 'a database in memory'}, not to {database.path};"
            " both must be one file, or the two could not commit together"
        )
    _ensure_transaction(database.connection)
    # Their BEGIN may have locked nothing. To read first and write then would fail at once, however
    # patient they are, if another process wrote in between.
    database.execute("UPDATE purged SET id = id WHERE 0")
    database.refuse_newer()
    database.execute("SAVEPOINT prokerja")
    try:
        ids = Declarations(database, Lanes(database)).insert(declarations, now)
        for finish in database.before_commit:
            finish()
    except BaseException:  # their transaction goes on without what is refused
        database.execute("ROLLBACK TO prokerja")
        database.execute("RELEASE prokerja")
        raise
    database.execute("RELEASE prokerja")
    return ids


def _ensure_transaction(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        return
    # From Python 3.12 on, `autocommit` may stand in for `isolation_level`.
    autocommit = getattr(connection, "autocommit", -1)
    if autocommit is True or (autocommit == -1 and connection.isolation_level is None):
        raise RequestError("the connection is in autocommit mode; execute BEGIN before declaring")
    connection.execute("BEGIN IMMEDIATE")  # it knows itself how long to wait
