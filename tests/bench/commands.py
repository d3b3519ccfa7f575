"""What a command costs as a whole process, from its start to its end."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench import bare, ours
from tests.bench.figures import BARE, OURS, Line, at_most
from tests.bench.peers.enqueuing import Process, enqueuers
from tests.bench.stage import HERE, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.stage import Stage

TRUE = "/bin/true"
SQLITE = "sqlite3 shell"
TIMES = 2.0
"""How many times as long as the bare script a command may take."""


def commands(stage: Stage) -> Iterator[Line]:
    """Milliseconds of a whole process: the median of many, which take turns.

    `prokerja declare:job noop n=1`, `declare:shell true`, `report` and `wait 1` on a file of a
    thousand jobs, the first of which has ended; a bare script in the same Python that opens SQLite
    and inserts one durable row; the sqlite3 shell with `INSERT INTO declare`; `rq enqueue` and
    `tsp`, with their servers running. All modules have been compiled beforehand.
    """
    path, bare_path = stage.new("command"), stage.new("bare")
    ours.realize(path, ours.declare_noops(path, 1), 1)
    ours.declare_noops(path, 1_000)
    bare.create(bare_path, durable=True).close()
    mine = {
        "declare:job": ours.command_line("declare:job", path, ours.JOBS, "noop", "n=1"),
        "declare:shell": ours.command_line("declare:shell", path, ours.JOBS, TRUE),
        "report": ours.command_line("report", path, ours.JOBS),
        "wait": ours.command_line("wait", path, ours.JOBS, "1"),
    }
    sides = {name: Process(words, surroundings()) for name, words in mine.items()}
    script = [sys.executable, os.path.join(HERE, "insert.py"), bare_path]
    sides[BARE] = Process(script, surroundings())
    if sqlite := shutil.which("sqlite3"):
        insert = """INSERT INTO declare (job, payload) VALUES ('noop', '{"n":1}')"""
        sides[SQLITE] = Process([sqlite, path, insert], surroundings())
    with enqueuers(stage) as theirs:
        figures = _in_turns(stage, {**sides, **theirs})
    for name in mine:
        others = [BARE, *(theirs if name.startswith("declare") else ())]
        both = {OURS: figures[name], **{other: figures[other] for other in others}}
        what = f"prokerja {name} as a process"
        yield Line(f"process-{name.replace(':', '-')}", what, "ms", both, (at_most(TIMES, BARE),))
    if SQLITE in figures:
        what = "sqlite3 FILE 'INSERT INTO declare ...' as a process"
        yield Line("process-sqlite3", what, "ms", {OURS: figures[SQLITE]}, (at_most(10.0),))


def _in_turns(stage: Stage, sides: Mapping[str, Process]) -> dict[str, list[float]]:
    """The median of each side's processes in each round."""
    for process in sides.values():
        lifetime(process)
    figures: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(stage.rounds):
        samples: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(stage.pick(20, 8)):
            for side, process in sides.items():
                samples[side].append(lifetime(process))
        for side, found in samples.items():
            figures[side].append(statistics.median(found))
    return figures


def lifetime(process: Process) -> float:
    """Milliseconds from the start of a process to its end."""
    began = time.perf_counter()
    command, environment = process
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3
