"""Databases that are not what they should be: damaged, foreign, from the future, or nonsense."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

PAGE = 4096
KINDS = ("truncated", "flipped", "overwritten", "shuffled", "nonsense", "other log", "foreign")
FOREIGN = (
    b"", b"\0", b"\0" * 8192, b"#!/bin/sh\necho hello\n", b"\x89PNG\r\n\x1a\n" * 500,
    b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000, b"\x7fELF" * 2000,
    "äöü — not a database\n".encode() * 100,
)  # fmt: skip
NONSENSE = (
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -1",
    "UPDATE declaration SET payload = 'no JSON'",
    "UPDATE declaration SET payload = '[1]'",
    "UPDATE declaration SET payload = CAST(x'ff00fe' AS TEXT)",
    "UPDATE declaration SET result = '{' WHERE status = 1",
    "UPDATE declaration SET declared_at = 1e300, due_at = -1e300",
    "UPDATE declaration SET due_at = 9e999",
    "UPDATE declaration SET started_at = -9e999, finished_at = 1e18",
    "UPDATE declaration SET started_at = NULL, finished_at = NULL",
    "UPDATE declaration SET status = 7 WHERE id < 20",
    "UPDATE declaration SET lane = 999",
    "UPDATE declaration SET attempt = 9223372036854775807, retries = 1000",
    "UPDATE declaration SET id = 9223372036854775807 WHERE id = 40",
    "UPDATE declaration SET id = -id",
    "UPDATE pending SET declaration = declaration + 1000",
    "UPDATE pending SET due_at = -9e999",
    "UPDATE claim SET declarations = 'no JSON'",
    "UPDATE claim SET declarations = '[\"a\", null, {}]'",
    "UPDATE claim SET declarations = '[1, 2, 99999, -5]'",
    "UPDATE claim SET declarations = '{}'",
    "UPDATE claim SET token = -1",
    "UPDATE running SET started_at = 9e999",
    "UPDATE running SET token = token + 1",
    "UPDATE worker SET queues = 'no JSON'",
    "UPDATE worker SET names = '7'",
    "UPDATE worker SET started_at = 9e999, pid = -1",
    "UPDATE worker SET id = -3",
    "UPDATE attempt SET error = CAST(x'ff00fe1b5b324a' AS TEXT)",
    "UPDATE attempt SET number = -1, finished_at = 9e999",
    "UPDATE catalog SET spec = 'no JSON'",
    "UPDATE catalog SET spec = '[]'",
    "UPDATE catalog SET spec = '{\"fields\": 7}'",
    "UPDATE catalog SET spec = json_set(spec, '$.queue', json('{}'), '$.retries', 'many')",
    "UPDATE catalog SET spec = json_set(spec, '$.fields[0].schema', 5)",
    "UPDATE catalog SET name = 'noop' || char(27) || '[2J' WHERE name = 'noop'",
    "UPDATE source SET mtime_ns = -1",
    "UPDATE lane SET name = char(0) || name",
    "UPDATE lane SET queue = CAST(x'ff' AS TEXT)",
    "UPDATE lane SET pending = 0, processing = 0",
    "UPDATE lane SET pending = 9223372036854775807",
    "UPDATE purged SET id = 9223372036854775807",
    "DELETE FROM purged",
    "DELETE FROM lane",
    "DELETE FROM declaration",
    "DELETE FROM catalog",
    "DROP TABLE pending",
    "DROP TABLE claim",
    "DROP TABLE running",
    "DROP TABLE attempt",
    "DROP TABLE worker",
    "DROP TABLE catalog",
    "DROP TABLE lane",
    "DROP TABLE declare",
    "DROP VIEW report",
    "UPDATE declare SET id = -9223372036854775807",
    "DROP INDEX settled",
    "ALTER TABLE declaration RENAME COLUMN payload TO load",
    "CREATE TRIGGER mine BEFORE INSERT ON pending BEGIN SELECT RAISE(ABORT, 'mine'); END",
    "CREATE TRIGGER mine BEFORE UPDATE ON lane BEGIN SELECT RAISE(IGNORE); END",
)


def mutate(path: str, chance: random.Random) -> str:
    """Spoil the database at `path` in one way; returns how, for a ledger."""
    kind = chance.choice(KINDS)
    if kind == "foreign":
        return f"{kind}: {_replace(path, chance)}"
    if kind == "nonsense":
        return f"{kind}: {_execute(path, chance)}"
    if kind == "other log":
        return f"{kind}: {_put_beside(path, chance)}"
    spoil: dict[str, Callable[[bytearray, random.Random], None]] = {
        "truncated": _truncate, "flipped": _flip, "overwritten": _overwrite, "shuffled": _shuffle,
    }  # fmt: skip
    with open(path, "rb+") as file:
        content = bytearray(file.read())
        spoil[kind](content, chance)
        file.seek(0)
        file.write(content)
        file.truncate()
    return kind


def _truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.choice((chance.randrange(200), chance.randrange(len(content)))) :]


def _flip(content: bytearray, chance: random.Random) -> None:
    pages = len(content) // PAGE
    for _ in range(chance.choice((1, 3, 64))):
        page = chance.randrange(pages) * PAGE
        start = 0 if chance.random() < 0.4 else chance.randrange(PAGE)
        content[page + min(start + chance.randrange(24), PAGE - 1)] ^= 1 << chance.randrange(8)


def _overwrite(content: bytearray, chance: random.Random) -> None:
    size = chance.choice((16, 200, PAGE))
    start = chance.randrange(len(content) - size)
    content[start : start + size] = chance.choice(
        (bytes(size), b"\xff" * size, chance.randbytes(size))
    )


def _shuffle(content: bytearray, chance: random.Random) -> None:
    pages = range(0, len(content), PAGE)
    one, other = (slice(page, page + PAGE) for page in chance.sample(pages, 2))
    content[one], content[other] = content[other], content[one]


def _execute(path: str, chance: random.Random) -> str:
    done = chance.choice(NONSENSE)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        with suppress(sqlite3.Error):
            connection.execute(done)
    return done


def _put_beside(path: str, chance: random.Random) -> str:
    end = chance.choice(("-wal", "-journal", "-shm"))
    with open(path + end, "wb") as file:
        file.write(chance.choice((chance.randbytes(9000), b"\0" * 40, b"")))
    return end


def _replace(path: str, chance: random.Random) -> str:
    os.unlink(path)
    what = chance.randrange(len(FOREIGN) + 4)
    if what < len(FOREIGN):
        with open(path, "wb") as file:
            file.write(FOREIGN[what])
        return f"{FOREIGN[what][:16]!r}"
    if what == len(FOREIGN):
        os.mkdir(path)
        return "a directory"
    if what == len(FOREIGN) + 1:
        os.mkfifo(path)
        return "a pipe"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if what == len(FOREIGN) + 2:
            connection.execute("PRAGMA application_id = 1196444487")
        connection.execute("CREATE TABLE declaration (id INTEGER PRIMARY KEY, mine TEXT)")
        connection.execute("INSERT INTO declaration (mine) VALUES ('keep out')")
    return "somebody else's database"
