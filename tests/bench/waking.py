"""How soon a job is started: one declared to an idle worker, and one that becomes due."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import deque
from contextlib import ExitStack, closing
from statistics import median
from typing import TYPE_CHECKING

from prokerja import Queue
from tests.bench import bare, ours
from tests.bench.bare_waking import bare_worker
from tests.bench.figures import OURS, Line, at_most, percentile
from tests.bench.jobs.mark import Mark
from tests.bench.stage import SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.stage import Stage

    Declare = Callable[[int], object]

P50, P99 = 2.0, 10.0
"""Milliseconds: the goals."""
PLAIN_SQL = "INSERT INTO declare (job, payload) VALUES ('mark', ?)"
BARE_INOTIFY = "bare inotify worker"
BARE_TIMES = 1.2
LONE = 10
"""Idle workers for each way of declaring, where each sample takes minutes."""


def wake_up(stage: Stage) -> Iterator[Line]:
    """Milliseconds from just before a declaration to the first line of `handle()`.

    By `queue.declare()` and by plain SQL through Python's sqlite3, to a worker that has nothing
    to do, 50 to 100 ms apart; the job writes down the monotonic clock. With `--idle` also to
    workers that had nothing to do for so long, one declaration to each.
    """
    samples = stage.pick(100, 15)
    ways: dict[str, Callable[[str, int], list[float]]] = {
        "declare() in Python": _by_python,
        "plain SQL": _by_sql,
    }
    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for number in range(stage.rounds):
        for way, measure in ways.items():
            found[way].append(measure(stage.new("wake"), samples))
        stage.say(f"round {number + 1} of {stage.rounds} of wake-ups")
    for way, rounds in found.items():
        yield from _lines(f"wake-up by {way}", rounds)
    if stage.idle:
        after, alone = _after_idleness(stage)
        for way, milliseconds in after.items():
            title = f"wake-up by {way} after {stage.idle:.0f} s"
            yield from _lines(title, [milliseconds])
            figures = {OURS: [median(milliseconds)], BARE_INOTIFY: [median(alone)]}
            title = f"{title}, beside a bare worker on inotify"
            goal = at_most(BARE_TIMES, of=BARE_INOTIFY)
            yield Line(title.replace(" ", "-"), title, "ms", figures, (goal,))


def due_time(stage: Stage) -> Iterator[Line]:
    """Milliseconds from the moment for which a job was declared to the first line of `handle()`.

    The moments are spread at random; all are declared before the first of them, to a worker that
    sleeps. Both ends are read from the clock of the time of day.
    """
    count, span = stage.pick(1_000, 200), stage.pick(20, 4)
    rounds = [_due(stage.new("due"), count, span) for _ in range(stage.pick(stage.rounds, 1))]
    yield from _lines(f"due time of {count:,} jobs over {span} s", rounds)


def _lines(what: str, rounds: list[list[float]]) -> Iterator[Line]:
    for name, share, goal in (("p50", 0.5, P50), ("p99", 0.99, P99)):
        figures = {OURS: [percentile(samples, share) for samples in rounds]}
        title = f"{what}, {name}"
        yield Line(title.replace(" ", "-"), title, "ms", figures, (at_most(goal),))


def _by_python(path: str, samples: int) -> list[float]:
    with closing(Queue(path)) as queue, ours.worker(path):
        return _sample(path, samples, lambda n: queue.declare(_mark(path, n)))


def _by_sql(path: str, samples: int) -> list[float]:
    with ours.worker(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return _sample(path, samples, lambda n: _insert(connection, path, n))


def _sample(path: str, samples: int, declare: Declare) -> list[float]:
    """The waits of all but a first one, which is to warm up."""
    chance = random.Random(SEED)
    declared = {}
    for n in range(samples + 1):
        time.sleep(chance.uniform(0.05, 0.1))
        declared[n] = time.monotonic_ns()
        declare(n)
    return _waits(path, declared)[1:]


def _waits(path: str, declared: dict[int, int]) -> list[float]:
    marks = f"{path}-marks"
    ours.await_true(lambda: len(ours.marks(marks)) == len(declared), "the last start")
    starts = ours.marks(marks)
    return [(starts[n][0] - moment) / 1e6 for n, moment in sorted(declared.items())]


def _after_idleness(stage: Stage) -> tuple[dict[str, list[float]], list[float]]:
    """One wake-up of each of many workers that have done a job and then been idle.

    By each way, and of bare workers, who take turns in being first: what wakes up first warms the
    machine for the next. Whoever declares is awake: it has just read the store.
    """
    found: dict[str, list[float]] = {way: [] for way in _DECLARE}
    paths = {way: [stage.new("idle") for _ in range(LONE)] for way in found}
    with ExitStack() as stack:
        for way, declare in _DECLARE.items():
            worker = bare_worker if way == BARE_INOTIFY else ours.worker
            for path in paths[way]:
                stack.enter_context(worker(path))
                declare(path, 0)
                _waits(path, {0: 0})
        stage.say(f"{3 * LONE} workers idle for {stage.idle:.0f} s")
        time.sleep(stage.idle)
        order = deque(_DECLARE)
        for number in range(LONE):
            for way in order:
                path = paths[way][number]
                began = _DECLARE[way](path, 1)
                found[way] += _waits(path, {0: 0, 1: began})[1:]
            order.rotate()
    alone = found.pop(BARE_INOTIFY)
    return found, alone


def _declare_anew(path: str, n: int) -> int:
    """Declare in Python; returns the monotonic ns just before."""
    with closing(Queue(path)) as queue:
        queue.summary()
        began = time.monotonic_ns()
        queue.declare(_mark(path, n))
    return began


def _declare_in_sql(path: str, n: int) -> int:
    """The same by plain SQL."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("SELECT job FROM declare LIMIT 0")
        began = time.monotonic_ns()
        _insert(connection, path, n)
    return began


def _declare_bare(path: str, n: int) -> int:
    """The same for a bare worker."""
    payload = bare.encode({"path": f"{path}-marks", "n": n})
    with closing(bare.create(path, durable=True)) as connection:
        began, now = time.monotonic_ns(), time.time()
        connection.execute(bare.INSERT, (now, now, payload))
    return began


def _due(path: str, count: int, span: float) -> list[float]:
    chance = random.Random(SEED)
    with closing(Queue(path)) as queue, ours.worker(path):
        begin = time.time() + 0.5 + count / 500
        moments = [begin + chance.uniform(0.0, span) for _ in range(count)]
        for n, moment in enumerate(moments):
            queue.declare(_mark(path, n), at=moment)
        assert time.time() < begin, "declaring took too long"
        time.sleep(max(0.0, max(moments) - time.time()))
        marks = f"{path}-marks"
        ours.await_true(lambda: len(ours.marks(marks)) == count, "the last start")
    starts = ours.marks(marks)
    return [starts[n][1] / 1e6 - moment * 1e3 for n, moment in enumerate(moments)]


def _mark(path: str, n: int) -> Mark:
    return Mark(f"{path}-marks", n)


def _insert(connection: sqlite3.Connection, path: str, n: int) -> None:
    connection.execute(PLAIN_SQL, (json.dumps({"path": f"{path}-marks", "n": n}),))


_DECLARE: dict[str, Callable[[str, int], int]] = {
    "declare() in Python": _declare_anew,
    "plain SQL": _declare_in_sql,
    BARE_INOTIFY: _declare_bare,
}
"""Declares the job of a number; returns the monotonic ns just before."""
