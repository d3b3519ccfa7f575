"""The commands by which people would enqueue one job instead, each as it is run from a shell."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.peers import PEERS, THEIRS
from tests.bench.stage import LeftOut, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.bench.stage import Stage


class Process(NamedTuple):
    """A program to start, and its environment."""

    command: list[str]
    environment: Mapping[str, str]


@contextmanager
def enqueuers(stage: Stage) -> Iterator[dict[str, Process]]:
    """What enqueues one job, of each that runs here, while their servers run."""
    ways: dict[str, Callable[[Stage], AbstractContextManager[Process]]]
    ways = {"rq enqueue": _rq, "tsp": _tsp}
    found: dict[str, Process] = {}
    with ExitStack() as servers:
        for name, way in ways.items() if stage.peers else ():
            try:
                found[name] = servers.enter_context(way(stage))
            except LeftOut as why:
                stage.say(f"{name} is left out: {why}")
        yield found


@contextmanager
def _rq(_: Stage) -> Iterator[Process]:
    """`rq enqueue`, with redis on a socket."""
    peer = next(peer for peer in PEERS if peer.name == "rq")
    peer.environment.install()
    with peer.server(peer.environment.path) as place:
        words = [peer.environment.program("rq"), "enqueue", "rq_jobs.noop", ":1"]
        given = {"BENCH_JOBS": "1", "BENCH_MARKS": "/dev/null", **place}
        yield Process(words, {**surroundings(), "PYTHONPATH": THEIRS, **given})


@contextmanager
def _tsp(stage: Stage) -> Iterator[Process]:
    """`tsp`, whose server the first call starts."""
    program = shutil.which("tsp")
    if program is None:
        raise LeftOut("there is no tsp on this machine")
    place = {**surroundings(), "TS_SOCKET": f"{stage.scratch}/tsp", "TMPDIR": stage.scratch}
    try:
        yield Process([program, "-n", "true"], place)
    finally:
        subprocess.run([program, "-K"], env=place, check=False)
