"""Numbered migrations; a file's `user_version` remembers how far it has come.

A released migration is never changed; a change is a new one. Programs that know less may have the
file open while it is migrated. The next time they write they notice, in the transaction itself,
and write nothing new: a declaration is refused, a worker claims no more. They look at the version
under the write lock; a single statement cannot, so it goes through a view that bears the number of
its schema, and is dropped with the next migration, which has to make its own.

But a worker still has jobs in its hands, and what it has begun it writes down with the old
statements. So a migration

- adds: tables, indexes, and columns that have a default and mean by it what was meant before;
- neither drops nor renames nor narrows what settling, giving back, a follow-up's declaration and
  a worker's leave read and write: `lane`, `declaration`, `purged`, `pending`, `claim`, `running`,
  `attempt`, `cut_result`, `progress`, `step`, `event` and `worker`. What is to go is left
  unused, and goes with a later release. A table may be made anew under its own name, if those
  statements mean by it what they meant;
- adds no trigger that could refuse those statements.

Our own statements make it possible by naming their columns, those of an INSERT too. A migration
that cannot keep to this must say so to its users: old workers have to be stopped first, or the
jobs they hold are run again.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 8
REGISTER_VIEW = f"register_{VERSION}"
"""The view that takes one declaration in one statement."""
APPLICATION = 0x50524B4A
"""`PRKJ`, in a file's header: whose file it is."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to VERSION, inside the caller's write transaction."""
    done = connection.execute("PRAGMA user_version").fetchone()[0]
    for number in range(done + 1, VERSION + 1):
        connection.execute(f"DROP VIEW IF EXISTS register_{number - 1}")
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
