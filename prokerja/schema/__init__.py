"""Numbered migrations; a file's `user_version` remembers how far it has come."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 2
APPLICATION = 0x50524B4A
"""`PRKJ`, in a file's header: whose file it is."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to VERSION, inside the caller's write transaction."""
    done = connection.execute("PRAGMA user_version").fetchone()[0]
    for number in range(done + 1, VERSION + 1):
        for statement in statements(number):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def statements(number: int) -> Iterator[str]:
    """The statements of one migration, one by one, so that they can share a transaction."""
    folder = os.path.dirname(__file__)
    [name] = [name for name in os.listdir(folder) if name.startswith(f"{number:04}_")]
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        statement = ""
        for line in file:
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""
