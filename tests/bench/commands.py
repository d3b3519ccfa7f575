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
from tests.bench.stage import HERE, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.stage import Stage

REPORT, SHELL = "report", "sqlite3 shell"
TIMES = 3.0
"""How many times as long as the bare script a command may take."""


def commands(stage: Stage) -> Iterator[Line]:
    """Milliseconds of a whole process: the median of many, which take turns.

    `prokerja declare:job noop n=1` and `prokerja report` on a file of a thousand jobs; a bare
    script in the same Python that opens SQLite and inserts one durable row; the sqlite3 shell with
    `INSERT INTO declare`. All modules have been compiled beforehand.
    """
    path, bare_path = stage.new("command"), stage.new("bare")
    ours.declare_noops(path, 1_000)
    bare.create(bare_path, durable=True).close()
    sides = {
        OURS: ours.command_line("declare:job", path, ours.JOBS, "noop", "n=1"),
        REPORT: ours.command_line("report", path, ours.JOBS),
        BARE: [sys.executable, os.path.join(HERE, "insert.py"), bare_path],
    }
    shell = shutil.which("sqlite3")
    if shell:
        insert = """INSERT INTO declare (job, payload) VALUES ('noop', '{"n":1}')"""
        sides[SHELL] = [shell, path, insert]
    samples: dict[str, list[list[float]]] = {side: [] for side in sides}
    for command in sides.values():
        lifetime(command)
    for _ in range(stage.rounds):
        for side in sides:
            samples[side].append([])
        for _ in range(stage.pick(20, 8)):
            for side, command in sides.items():
                samples[side][-1].append(lifetime(command))
    figures = {side: list(map(statistics.median, rounds)) for side, rounds in samples.items()}
    for side, what in ((OURS, "prokerja declare:job"), (REPORT, "prokerja report")):
        both = {OURS: figures[side], BARE: figures[BARE]}
        name = f"process-{what.split()[1].replace(':', '-')}"
        yield Line(name, f"{what} as a process", "ms", both, (at_most(TIMES, BARE),))
    if shell:
        what = "sqlite3 FILE 'INSERT INTO declare ...' as a process"
        yield Line("process-sqlite3", what, "ms", {OURS: figures[SHELL]}, (at_most(10.0),))


def lifetime(command: Sequence[str]) -> float:
    """Milliseconds from the start of a process to its end."""
    began = time.perf_counter()
    subprocess.run(command, env=surroundings(), check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3
