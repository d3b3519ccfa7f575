"""What a worker adds to running a command."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja import Queue, shell
from prokerja.options import NO_OPTIONS
from tests.bench import ours
from tests.bench.figures import OURS, Line, at_least
from tests.bench.stage import apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

LOOP = "subprocess.run"


def running(stage: Stage) -> Iterator[Line]:
    """Commands a second: `true`, on one realizer, from the first start to the last end.

    Bare: a loop of `subprocess.run` in a process of its own.
    """
    count = stage.pick(500, 100)
    figures = stage.take_turns(
        {OURS: lambda: _realize(stage.new("shell"), count), LOOP: lambda: apart(_loop, count)}
    )
    what = f"running {count} times `true` on 1 realizer"
    yield Line("shell", what, "commands/s", figures, (at_least(0.5, LOOP),))


def _realize(path: str, count: int) -> float:
    now = time.time()
    payload = shell.payload_of(["true"], shell.Surroundings(os.getcwd()))
    with closing(Queue(path)) as queue:
        made = (shell.declaration(payload, now, NO_OPTIONS) for _ in range(count))
        ids = queue.register(made, now)
    return ours.realize(path, ids, 1)


def _loop(count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(["true"], check=True)
    return count / (time.perf_counter() - began)
