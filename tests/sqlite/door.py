"""Somebody's own connection to the file, and our eyes on it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from prokerja.model.record import Filter
from tests.repository.harness import LOOSE, NOOP, SEND, record

if TYPE_CHECKING:
    from prokerja.model.record import Record
    from tests.sqlite.store import SQLiteStore


class Connection:
    """What declares in SQL, in a file that knows the jobs noop, send and loose."""

    def __init__(self, store: SQLiteStore) -> None:
        record(store, NOOP, SEND, LOOSE)
        self.store = store
        self.connection = sqlite3.connect(store.repository.path, isolation_level=None)

    def insert(self, verb: str = "INSERT", **columns: Any) -> int | None:
        """Declare; returns the id that RETURNING gives, None if there is no row."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        row = self.connection.execute(
            f"{verb} INTO declare ({names}) VALUES ({marks}) RETURNING id", tuple(columns.values())
        ).fetchone()
        return row and int(row[0])

    def declare(self, **columns: Any) -> int:
        """Declare a noop, or what is said; returns its id."""
        id = self.insert(**{"job": "noop", **columns})
        assert id is not None
        return id

    def rows(self, query: str) -> list[Any]:
        """What a query finds."""
        return self.store.rows(query)

    def newest(self) -> Record:
        return self.store.repository.history.newest(Filter(), 1)[0]

    def assert_tidy(self) -> None:
        """Every open declaration stands in line or is blocked, once, and is counted."""
        line = self.rows(
            "SELECT declaration, lane, due_at FROM pending UNION ALL"
            " SELECT id, blocked.lane, due_at FROM blocked JOIN declaration ON id = declaration"
            " ORDER BY 1"
        )
        assert line == self.rows(
            "SELECT id, lane, due_at FROM declaration WHERE status = 0 ORDER BY 1"
        )
        counted = self.rows("SELECT id, pending FROM lane WHERE pending > 0 ORDER BY 1")
        assert counted == self.rows(
            "SELECT lane, count(*) FROM declaration WHERE status = 0 GROUP BY lane ORDER BY 1"
        )
        assert self.rows("SELECT count(*) FROM declare") == [(1,)]
