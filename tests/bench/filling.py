"""Files that already keep many finished jobs.

A first thousand go through the repository as a worker would take them there; the others are
copies of their rows, made by SQL, each with its own id and times.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja.declaring import of_job
from prokerja.options import Options
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.bench import turns
from tests.bench.stage import SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

SAMPLE = 1000
SLICE = 100_000
"""Rows that one transaction copies."""
SPACING = 0.008
"""Seconds between two jobs: ten million took a day, so that none is old enough to be purged."""
DAY = 86_400.0
FAILS = 0.02
"""The share of jobs that have failed."""
LANES = (
    Options(),
    Options(queue="emails"),
    Options(queue="emails", priority=5),
    Options(queue="nightly", priority=-5),
)
COPIED = {"declaration": "id", "attempt": "declaration"}
"""The tables that remember finished jobs, and the column by which they know each."""


@cache
def filled(stage: Stage, rows: int) -> str:
    """The path of a file with so many finished jobs; made once in a run, and used again."""
    began = time.monotonic()
    path = stage.new(f"kept-{rows}")
    _make_sample(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for done, count in _slices(rows):
            connection.execute("BEGIN IMMEDIATE")
            for table, key in COPIED.items():
                _copy(connection, table, key, done, count)
            connection.execute("COMMIT")
        connection.execute("""
            UPDATE lane SET
                completed = (SELECT count(*) FROM declaration WHERE lane = lane.id AND status = 1),
                failed = (SELECT count(*) FROM declaration WHERE lane = lane.id AND status = 2)""")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stage.say(f"a file with {rows:,} finished jobs took {time.monotonic() - began:.1f} s to make")
    return path


def _make_sample(path: str) -> None:
    """SAMPLE jobs, declared, claimed and settled in the ordinary way, a day ago."""
    repository = SQLiteRepository(path)
    chance = random.Random(SEED)
    begin = time.time() - DAY
    moments = [begin + n * SPACING for n in range(SAMPLE)]
    with repository.database.writing():
        for n, moment in enumerate(moments):
            job = of_job(Noop(n=n), moment, chance.choice(LANES))
            repository.declarations.insert((job,), moment)
        token, claims = turns.claim(repository, SAMPLE, time.time())
        verdicts = [
            (turns.failed if chance.random() < FAILS else turns.completed)(
                claim, moments[claim.id - 1]
            )
            for claim in claims
        ]
        assert len(verdicts) == SAMPLE
        turns.settle(repository, token, verdicts, time.time())
    repository.close()


def _slices(rows: int) -> Iterator[tuple[int, int]]:
    """How many jobs there are, and how many to copy next: twice as many, then SLICE by SLICE."""
    done = SAMPLE
    while done < rows:
        count = min(done, SLICE, rows - done)
        yield done, count
        done += count


def _copy(connection: sqlite3.Connection, table: str, key: str, done: int, count: int) -> None:
    """Copy the rows of the first `count` jobs to behind the `done` that there are."""
    names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    shifts = {key: done}
    later = {name: done * SPACING for name in names if name.endswith("_at")}
    values = ", ".join(
        f"{name} + {({**shifts, **later}).get(name, 0)}"
        if name in shifts or name in later
        else name
        for name in names
    )
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {key} <= ?",
        (count,),
    )
