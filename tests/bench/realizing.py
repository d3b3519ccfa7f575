"""How many jobs a worker realizes in a second, on an empty file, on a full one, and really busy."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from prokerja import Queue
from tests.bench import bare, ours, peers
from tests.bench.figures import BARE, OURS, Line, at_least
from tests.bench.filling import filled
from tests.bench.jobs.async_noop import AsyncNoop
from tests.bench.jobs.burn import Burn
from tests.bench.stage import apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

BURN = 0.01
"""Seconds of processor time that each busy job takes."""
TWO, FULL = "2 realizers", "full file"
TWO_FULL = f"{TWO}, {FULL}"


def realizing(stage: Stage) -> Iterator[Line]:
    """No-op jobs a second, from the first start to the last end, by the times in the file.

    The jobs are declared beforehand; a real worker process with default options realizes them
    with 1 and with 2 realizers, on an empty file and on one that keeps finished jobs (to which
    each run adds its own). Bare: one process that claims 100 and completes 100 until none is
    left. Peers: from their first body to their last.
    """
    count = stage.pick(200_000, 40_000)
    kept = filled(stage, stage.kept)
    with peers.rates(stage) as theirs:
        sides = {
            OURS: lambda: _realize(stage.new("realize"), count, 1),
            TWO: lambda: _realize(stage.new("realize"), count, 2),
            FULL: lambda: _realize(kept, count, 1),
            TWO_FULL: lambda: _realize(kept, count, 2),
            BARE: lambda: apart(bare.realize, stage.new("bare"), count),
            **theirs,
        }
        figures = stage.take_turns(sides)
    for name, side, words in (("realize-1", OURS, "1 realizer"), ("realize-2", TWO, TWO)):
        others = {k: v for k, v in figures.items() if k not in (OURS, TWO, FULL, TWO_FULL)}
        yield Line(
            name,
            f"realizing {count:,} no-op jobs, one worker, {words}",
            "jobs/s",
            {OURS: figures[side], **others},
            (
                at_least(100_000),
                at_least(0.5, BARE),
                *((at_least(20, "huey"), at_least(7, "plainjob")) if stage.peers else ()),
            ),
        )
    for name, full, empty, words in (
        ("kept-1", FULL, OURS, "1 realizer"),
        ("kept-2", TWO_FULL, TWO, TWO),
    ):
        yield Line(
            name,
            f"the same with {stage.kept:,} finished jobs in the file, {words}",
            "jobs/s",
            {OURS: figures[full], "empty file": figures[empty]},
            (at_least(0.8, "empty file"),),
        )


def awaiting(stage: Stage) -> Iterator[Line]:
    """Async no-op jobs a second, several in flight in one realizer, beside plain ones."""
    count = stage.pick(50_000, 10_000)
    sides = {f"{width} at once": partial(_await, stage, count, width) for width in (100, 10, 1)}
    figures = stage.take_turns({**sides, "plain": lambda: _realize(stage.new("plain"), count, 1)})
    first, *_ = sides
    yield Line(
        "async",
        f"realizing {count:,} async no-op jobs in one realizer, {first}",
        "jobs/s",
        {OURS: figures.pop(first), **figures},
        (at_least(0.5, "plain"),),
    )


def burning(stage: Stage) -> Iterator[Line]:
    """Jobs of 10 ms of processor time a second, on 2 realizers, by the times in the file.

    Bare: two processes that call the same `handle()` for half of the jobs each.
    """
    count = stage.pick(1_000, 200)
    figures = stage.take_turns(
        {
            OURS: lambda: _burn(stage.new("burn"), count),
            BARE: lambda: apart(bare.burn, count, BURN),
        }
    )
    what = f"realizing {count:,} jobs of {BURN * 1e3:.0f} ms CPU on 2 realizers"
    yield Line("burn", what, "jobs/s", figures, (at_least(0.95, BARE),))


def _await(stage: Stage, count: int, width: int) -> float:
    path = stage.new(f"async-{width}")
    with closing(Queue(path)) as queue:
        ids = queue.declare_many(AsyncNoop(n) for n in range(count))
    return ours.realize(path, ids, 1, ours.BENCH_JOBS, ["--concurrency", str(width)])


def _realize(path: str, count: int, realizers: int) -> float:
    return ours.realize(path, ours.declare_noops(path, count), realizers)


def _burn(path: str, count: int) -> float:
    with closing(Queue(path)) as queue:
        ids = queue.declare_many(Burn(BURN) for _ in range(count))
    return ours.realize(path, ids, 2, ours.BENCH_JOBS)
