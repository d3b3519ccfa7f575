"""What a worker costs that has nothing to do."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psutil

from jobs.noop import Noop
from prokerja import Queue
from tests.bench import ours
from tests.bench.figures import OURS, Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

QUIET = 5.5
"""Seconds after the last job, in which the worker does its chores (after 5 s)."""
SPAN = 20.0
"""Seconds that the figures stand for."""
MB = 1e6


def idling(stage: Stage) -> Iterator[Line]:
    """Processor time and wake-ups in 20 s of a worker with one realizer, and its memory.

    It has realized one job and been left alone. Processor time is what the scheduler accounts to
    all threads of supervisor and realizer; a wake-up is a voluntary context switch of one of
    them; each looks for work every ten seconds. A quick run looks for 5 s only and multiplies.
    Memory: RSS of both processes added up (shared pages count twice), and PSS (they count once).
    """
    if sys.platform != "linux":
        stage.say("an idle worker is left out: its figures come from Linux's /proc")
        return
    rounds = [_look(stage) for _ in range(1 if stage.quick else stage.rounds)]
    for what, unit, goal in (
        ("processor time in 20 s", "ms", SPAN),
        ("wake-ups in 20 s", "", 4.0),
        ("RSS", "MB", 60.0),
        ("PSS", "MB", None),
    ):
        goals = () if goal is None else (at_most(goal),)
        figures = {OURS: [found[what] for found in rounds]}
        title = f"idle worker, 1 realizer: {what}"
        yield Line(f"idle-{what.replace(' ', '-')}", title, unit, figures, goals)


def _look(stage: Stage) -> dict[str, float]:
    path = stage.new("idle")
    seconds = SPAN / stage.pick(1, 4)
    with closing(Queue(path)) as queue, ours.worker(path, ours.JOBS) as process:
        queue.declare(Noop())
        time.sleep(QUIET)
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        before = _spent(family)
        time.sleep(seconds)
        after = _spent(family)
        memory = [member.memory_full_info() for member in family]
    return {
        **{what: (after[what] - before[what]) * SPAN / seconds for what in after},
        "RSS": sum(one.rss for one in memory) / MB,
        "PSS": sum(one.pss for one in memory) / MB,
    }


def _spent(family: list[psutil.Process]) -> dict[str, float]:
    """Milliseconds of processor time and voluntary context switches of all threads so far."""
    time_ms, switches = 0.0, 0
    for member in family:
        for thread in os.scandir(f"/proc/{member.pid}/task"):
            with open(f"{thread.path}/schedstat", encoding="ascii") as file:
                time_ms += int(file.read().split()[0]) / 1e6
            with open(f"{thread.path}/status", encoding="utf-8") as file:
                [line] = [line for line in file if line.startswith("voluntary_ctxt_switches")]
            switches += int(line.split()[1])
    return {"processor time in 20 s": time_ms, "wake-ups in 20 s": switches}
