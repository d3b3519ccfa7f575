"""What is declared in SQL and what a program declares end up as the same rows."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model.declaration import Conditions, Lane
from tests.repository.harness import asked
from tests.sqlite.door import Connection
from tests.sqlite.store import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DUE = 4e9
TABLES = {
    "declaration": "id, lane, status, due_at, payload, retries, retry_after, timeout, label, batch",
    "lane": "id, queue, name, priority, pending, completed, failed, directory",
    "pending": "lane, due_at, declaration",
    "blocked": "declaration, lane, held",
    "dependency": "child, parent, if_fails, met",
    "successor": "declaration, batch, completed, failed",
    "coalescing": "declaration, name, directory, key, open",
    "expiry": "declaration, expires_at",
}
CONDITIONS: dict[str, list[Any]] = {
    "coalesce": [None, "old", "new"],
    "replace": [False, True],
    "hold": [False, True],
    "expires_at": [None, 5e9],
    "after": [(), (1,), (1, 2, 3), (2,)],
    "if_parent_fails": ["cancel", "run", "wait"],
    "after_batch": [None, "open", "ended"],
}
WISHES = [Conditions(*values) for values in itertools.product(*CONDITIONS.values())]


def possible(wish: Conditions) -> bool:
    """Whether both doors take it: SQL refuses at once what would fail at once."""
    if (wish.replace and not wish.coalesce) or (
        wish.if_parent_fails != "cancel" and not wish.after
    ):
        return False
    return wish.if_parent_fails != "cancel" or 2 not in wish.after


def prepared(path: Path) -> Connection:
    """With a job that has completed, one that has failed, and some that are open."""
    sql = Connection(SQLiteStore(str(path)))
    sql.declare(batch="ended")
    sql.declare(batch="ended")
    sql.store.now = time.time() + 1
    sql.store.complete(1)
    sql.store.fail(2)
    sql.declare(batch="open", due_at=DUE)
    sql.declare(job="loose", coalesce="old", payload='{"n": 1}', due_at=DUE)
    return sql


def rows(sql: Connection) -> dict[str, list[Any]]:
    return {
        name: sql.rows(f"SELECT {columns} FROM {name} WHERE rowid > 2" if name == "declaration"
            else f"SELECT {columns} FROM {name} ORDER BY 1, 2")
        for name, columns in TABLES.items()
    }  # fmt: skip


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Connection, Connection]]:
    both = prepared(tmp_path / "sql.db"), prepared(tmp_path / "python.db")
    yield both
    for one in both:
        one.connection.close()
        one.store.close()


@pytest.mark.parametrize("part", range(4))
def test_both_doors_write_the_same_rows(pair: tuple[Connection, Connection], part: int) -> None:
    by_sql, by_python = pair
    for number, wish in enumerate(filter(possible, WISHES)):
        if number % 4 != part:
            continue
        payload, due = json.dumps({"n": number}), DUE + number
        given = {key: getattr(wish, key) for key in CONDITIONS}
        given["after"] = json.dumps(wish.after)
        mine = by_sql.declare(
            job="loose", payload=payload, due_at=due, label="l", batch="open", **given
        )
        request = asked(Lane("default", "loose", 0, "/jobs"), due_at=due, payload=payload)
        request = request._replace(label="l", batch="open", conditions=wish)
        [theirs] = by_python.store.declare(request)
        assert (mine, rows(by_sql)) == (theirs, rows(by_python)), wish
        if number % 3 == 0:
            for one in pair:
                one.store.repository.cancel([mine], "enough", one.store.now)
