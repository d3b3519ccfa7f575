"""Everything at once: declarers, workers and a report every second on one file."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from contextlib import ExitStack, closing
from multiprocessing import get_context
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja import Queue
from prokerja.errors import ProkerjaError
from tests.bench import ours
from tests.bench.figures import OURS, Line, at_most, percentile
from tests.bench.stage import surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import SimpleQueue

    from tests.bench.stage import Stage

DECLARERS, WORKERS = 4, 2
LONGEST_WAIT = 100.0
"""Milliseconds: the goal."""


def mixing(stage: Stage) -> Iterator[Line]:
    """The longest `queue.declare()` in milliseconds, and how many things went wrong.

    4 processes declare one by one without a pause, 2 workers realize, and a `prokerja report` is
    started each second, for 20 s (quick: 5 s). A declaration's wait is its whole duration, fsync
    and want of a free core included. Wrong is: an exception in a declarer, a report that fails, a
    worker that had to try again, a job too many or too few.
    """
    rounds = [_mix(stage) for _ in range(1 if stage.quick else stage.rounds)]
    longest, p99, wrong, rate = (list(column) for column in zip(*rounds, strict=True))
    what = f"{DECLARERS} declarers, {WORKERS} workers, a report each second"
    note = "a wait includes fsync and want of a free core"
    yield Line("mixed-longest", f"{what}: longest declare", "ms", {OURS: longest},
               (at_most(LONGEST_WAIT),), note)  # fmt: skip
    yield Line("mixed-p99", f"{what}: p99 of declares", "ms", {OURS: p99})
    yield Line("mixed-rate", f"{what}: declared", "jobs/s", {OURS: rate})
    yield Line("mixed-errors", f"{what}: errors", "", {OURS: wrong}, (at_most(0.0),))


def _mix(stage: Stage) -> tuple[float, float, float, float]:
    path, seconds = stage.new("mix"), float(stage.pick(20, 5))
    context = get_context("spawn")
    waits: SimpleQueue[list[float] | str] = context.SimpleQueue()
    declarers = [
        context.Process(target=_declare, args=(path, seconds, waits)) for _ in range(DECLARERS)
    ]
    with closing(Queue(path)) as queue, ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(ours.worker(path, ours.JOBS))
        for declarer in declarers:
            declarer.start()
        wrong = _report(path, seconds)
        told = [waits.get() for _ in declarers]
        for declarer in declarers:
            declarer.join()
        counts = Counter[str]()
        ours.await_true(lambda: _drained(queue, counts), "the end of all jobs", 0.1)
    samples = [wait for some in told if isinstance(some, list) for wait in some]
    wrong += sum(isinstance(some, str) for some in told)
    wrong += abs(counts["completed"] - len(samples)) + counts["failed"]
    with open(f"{path}-stderr", encoding="utf-8") as talk:
        wrong += talk.read().count("trying again")
    return max(samples), percentile(samples, 0.99), float(wrong), len(samples) / seconds


def _drained(queue: Queue, counts: Counter[str]) -> bool:
    counts.clear()
    for tally in queue.summary().queues:
        counts.update(tally.counts())
    return not counts["pending"] and not counts["processing"]


def _report(path: str, seconds: float) -> int:
    """A report each second; how many failed."""
    wrong = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        command = ours.command_line("report", path, ours.JOBS)
        done = subprocess.run(command, env=surroundings(), check=False, capture_output=True)
        wrong += done.returncode != 0
        time.sleep(1.0)
    return wrong


def _declare(path: str, seconds: float, waits: SimpleQueue[list[float] | str]) -> None:
    """Declare without a pause; tell the duration of each call in ms, or what went wrong."""
    samples: list[float] = []
    with closing(Queue(path)) as queue:
        ends = time.monotonic() + seconds
        try:
            while (began := time.monotonic()) < ends:
                queue.declare(Noop(n=len(samples)))
                samples.append((time.monotonic() - began) * 1e3)
        except ProkerjaError as error:
            waits.put(str(error))
            return
    waits.put(samples)
