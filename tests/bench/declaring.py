"""How many jobs can be declared in a second: one by one, and in bulk."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja import Queue
from tests.bench import bare, ours
from tests.bench.figures import BARE, OURS, Line, at_least
from tests.bench.stage import apart, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

BATCH = "declare:batch"


def one_by_one(stage: Stage) -> Iterator[Line]:
    """`queue.declare()` calls a second in one process, each on the disk when it returns.

    Bare: an INSERT of the same columns with the payload as JSON, `synchronous = FULL`. Both
    declare to a fresh file, which nobody else has open.
    """
    count = stage.pick(10_000, 1_000)
    figures = stage.take_turns(
        {
            OURS: lambda: apart(declare, stage.new("declare"), count),
            BARE: lambda: apart(bare.declare, stage.new("bare"), count),
        }
    )
    what = f"declaring {count:,} one by one from Python, each fsynced"
    yield Line("declare", what, "jobs/s", figures, (at_least(0.9, BARE),))


def in_bulk(stage: Stage) -> Iterator[Line]:
    """Jobs a second by one `declare_many()` of a generator, and by one `declare:batch` process.

    The process reads JSON Lines that were written beforehand; its whole life is timed. Bare: one
    `executemany` in one durable transaction, each payload put into JSON on the way.
    """
    count = stage.pick(1_000_000, 100_000)
    lines = os.path.join(stage.scratch, "lines.jsonl")
    with open(lines, "w", encoding="ascii") as file:
        file.writelines(
            json.dumps({"job": "noop", "payload": {"n": n}}) + "\n" for n in range(count)
        )
    figures = stage.take_turns(
        {
            OURS: lambda: apart(declare_many, stage.new("declare"), count),
            BATCH: lambda: declare_batch(stage.new("declare"), lines, count),
            BARE: lambda: apart(bare.declare_many, stage.new("bare"), count),
        }
    )
    limit = {BARE: figures[BARE]}
    many, batch = {OURS: figures[OURS], **limit}, {OURS: figures[BATCH], **limit}
    what = f"declaring {count:,} at once"
    yield Line("declare-many", f"{what}: declare_many", "jobs/s", many, (at_least(0.8, BARE),))
    yield Line("declare-batch", f"{what}: declare:batch", "jobs/s", batch, (at_least(0.5, BARE),))


def declare(path: str, count: int) -> float:
    """Declarations a second."""
    with closing(Queue(path)) as queue:
        queue.declare(Noop(n=-1))
        began = time.perf_counter()
        for n in range(count):
            queue.declare(Noop(n=n))
        return count / (time.perf_counter() - began)


def declare_many(path: str, count: int) -> float:
    """Declarations a second."""
    with closing(Queue(path)) as queue:
        began = time.perf_counter()
        queue.declare_many(Noop(n=n) for n in range(count))
        return count / (time.perf_counter() - began)


def declare_batch(path: str, lines: str, count: int) -> float:
    """Declarations a second of a whole process."""
    command = ours.command_line("declare:batch", path, ours.JOBS, lines)
    began = time.perf_counter()
    subprocess.run(command, env=surroundings(), check=True, capture_output=True)
    return count / (time.perf_counter() - began)
