"""The limit: the fastest plain thing on SQLite that keeps the same durability, and no features.

One table with the columns of a declaration, one partial index on what is pending, WAL; the same
`synchronous` as prokerja has at that place; the payload as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import time
from multiprocessing import get_context
from typing import TYPE_CHECKING

from tests.bench.jobs.burn import Burn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.synchronize import Barrier

BATCH = 100
TABLE = """
    CREATE TABLE IF NOT EXISTS job (
        id INTEGER PRIMARY KEY,
        lane INTEGER NOT NULL,
        status INTEGER NOT NULL DEFAULT 0,
        declared_at REAL NOT NULL,
        due_at REAL NOT NULL,
        payload TEXT NOT NULL,
        retries INTEGER NOT NULL,
        retry_after REAL NOT NULL,
        timeout REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        forgiven INTEGER NOT NULL DEFAULT 0,
        returns INTEGER NOT NULL DEFAULT 0,
        started_at REAL,
        finished_at REAL,
        result TEXT
    )"""
INDEX = "CREATE INDEX IF NOT EXISTS pending ON job (lane, due_at, id) WHERE status = 0"
INSERT = """
    INSERT INTO job (lane, declared_at, due_at, payload, retries, retry_after, timeout)
    VALUES (1, ?, ?, ?, 0, 60.0, NULL)"""
CLAIM = f"""
    UPDATE job SET status = 3 WHERE id IN (
        SELECT id FROM job WHERE lane = 1 AND status = 0 AND due_at <= ?
        ORDER BY due_at, id LIMIT {BATCH}
    ) RETURNING id, payload"""
COMPLETE = """
    UPDATE job SET status = 1, attempt = attempt + 1, started_at = ?, finished_at = ?, result = ?
    WHERE id = ?"""


def create(path: str, *, durable: bool) -> sqlite3.Connection:
    """A new file, each commit on the disk when it returns if `durable`."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(TABLE)
    connection.execute(INDEX)
    return connection


def declare(path: str, count: int) -> float:
    """Inserts a second, each a durable commit of its own."""
    connection = create(path, durable=True)
    began = time.perf_counter()
    for n in range(count):
        now = time.time()
        connection.execute(INSERT, (now, now, encode({"n": n})))
    return count / (time.perf_counter() - began)


def declare_many(path: str, count: int) -> float:
    """Rows a second in one durable transaction by one `executemany`."""
    connection = create(path, durable=True)
    began = time.perf_counter()
    _insert(connection, range(count))
    return count / (time.perf_counter() - began)


def realize(path: str, count: int) -> float:
    """Jobs a second from the first claim to the last commit: claim 100, complete 100, and so on.

    One process, two commits for each batch, as nothing may be realized before its claim is
    written down; the payload is decoded, and the times are taken for each job.
    """
    connection = create(path, durable=False)
    _insert(connection, range(count))
    done = 0
    began = time.perf_counter()
    while batch := connection.execute(CLAIM, (time.time(),)).fetchall():
        rows = []
        for id, payload in batch:
            started_at = time.time()
            json.loads(payload)
            rows.append((started_at, time.time(), None, id))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(COMPLETE, rows)
        connection.execute("COMMIT")
        done += len(rows)
    assert done == count
    return count / (time.perf_counter() - began)


def burn(count: int, seconds: float) -> float:
    """Jobs a second of two processes that do half of them each, from the first start to the end."""
    context = get_context("spawn")
    barrier = context.Barrier(3)
    children = [
        context.Process(target=_burn, args=(barrier, count // 2, seconds)) for _ in range(2)
    ]
    for child in children:
        child.start()
    barrier.wait()
    began = time.perf_counter()
    for child in children:
        child.join()
    return count / (time.perf_counter() - began)


def encode(payload: object) -> str:
    """JSON as prokerja stores it."""
    return json.dumps(payload, separators=(",", ":"))


def _insert(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    now = time.time()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, ((now, now, encode({"n": n})) for n in numbers))
    connection.execute("COMMIT")


def _burn(barrier: Barrier, count: int, seconds: float) -> None:
    barrier.wait()
    for _ in range(count):
        Burn(seconds).handle()
