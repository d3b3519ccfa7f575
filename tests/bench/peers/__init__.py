"""The queues people would pick instead, each with its own real worker.

What runs in their environments stands in `theirs/`: it imports nothing of ours. A peer's no-op
body counts its calls; the first and the last of them tell the clock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.environment import Environment
from tests.bench.peers.servers import NO_SERVER, postgres, redis
from tests.bench.stage import HERE, LeftOut, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tests.bench.stage import Stage

THEIRS = os.path.join(HERE, "peers", "theirs")
SLOWEST = 120.0
"""Seconds that a peer may take for its jobs."""


class Peer(NamedTuple):
    """One of them. The programs of `declare` and `work` come from its environment."""

    name: str
    environment: Environment
    jobs: tuple[int, int]
    """How many no-ops it gets in a full and in a quick run."""
    declare: tuple[str, ...]
    work: tuple[str, ...]
    server: Callable[[str], AbstractContextManager[dict[str, str]]] = NO_SERVER


def call(module: str, function: str) -> tuple[str, ...]:
    """The words that call a function of one of their modules."""
    return ("python", "-c", f"import {module}; {module}.{function}()")


PEERS = (
    Peer(
        "huey",
        Environment("huey", ("huey==3.5.4",)),
        (10_000, 1_000),
        call("huey_jobs", "declare"),
        ("huey_consumer", "huey_jobs.huey", "--workers", "1", "--worker-type", "thread"),
    ),
    Peer(
        "plainjob",
        Environment("plainjob", ("plainjob@0.0.14", "better-sqlite3@12.11.1"), node=True),
        (60_000, 5_000),
        ("node", f"{THEIRS}/plainjob.mjs", "declare"),
        ("node", f"{THEIRS}/plainjob.mjs", "work"),
    ),
    Peer(
        "litequeue",
        Environment("litequeue", ("litequeue==0.14",), python=(3, 12)),
        (40_000, 4_000),
        call("litequeue_loop", "declare"),
        call("litequeue_loop", "work"),
    ),
    Peer(
        "rq",
        Environment("rq", ("rq==3.0.0",)),
        (1_000, 100),
        call("rq_jobs", "declare"),
        ("rq", "worker", "--worker-class", "rq.SimpleWorker", "--quiet"),
        redis,
    ),
    Peer(
        "pgqueuer",
        Environment("pgqueuer", ("pgqueuer[asyncpg]==1.6.0", "typer<0.20")),
        (40_000, 3_000),
        call("pgqueuer_jobs", "declare"),
        ("pgq", "run", "pgqueuer_jobs:main", "--batch-size", "100"),
        postgres,
    ),
)


@contextmanager
def rates(stage: Stage) -> Iterator[dict[str, Callable[[], float]]]:
    """What measures the no-op jobs a second of each peer that runs here, while servers run."""
    found: dict[str, Callable[[], float]] = {}
    with ExitStack() as servers:
        for peer in PEERS if stage.peers else ():
            try:
                peer.environment.install()
                place = servers.enter_context(peer.server(peer.environment.path))
            except LeftOut as why:
                stage.say(f"{peer.name} is left out: {why}")
            else:
                found[peer.name] = partial(_rate, stage, peer, place)
        yield found


def _rate(stage: Stage, peer: Peer, place: dict[str, str]) -> float:
    """Declare, then start the worker; jobs a second from the first body to the last."""
    count = stage.pick(*peer.jobs)
    directory = tempfile.mkdtemp(prefix=f"{peer.name}-", dir=stage.scratch)
    marks = os.path.join(directory, "marks")
    told = {"BENCH_JOBS": str(count), "BENCH_MARKS": marks, "BENCH_STORE": f"{directory}/store"}
    environment = {**surroundings(), "PYTHONPATH": THEIRS, **told, **place}
    log = os.path.join(directory, "log")
    if _start(peer, peer.declare, environment, log).wait(SLOWEST):
        raise LeftOut(f"it could not declare: {_last_line(log)}")
    worker = _start(peer, peer.work, environment, log)
    try:
        first, last = _await_marks(worker, marks, log)
    finally:
        _end(worker)
    return count / ((last - first) / 1e9)


def _start(
    peer: Peer, words: Sequence[str], environment: dict[str, str], log: str
) -> subprocess.Popen[bytes]:
    command = [peer.environment.program(words[0]), *words[1:]]
    with open(log, "ab") as file:
        return subprocess.Popen(
            command, cwd=peer.environment.path, env=environment, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip


def _await_marks(worker: subprocess.Popen[bytes], path: str, log: str) -> tuple[int, int]:
    give_up = time.monotonic() + SLOWEST
    while not os.path.exists(path):
        if worker.poll() is not None or time.monotonic() > give_up:
            raise LeftOut(f"its worker did not get through its jobs: {_last_line(log)}")
        time.sleep(0.05)
    with open(path, encoding="ascii") as file:
        first, last = map(int, file.read().split())
    return first, last


def _end(worker: subprocess.Popen[bytes]) -> None:
    """It has done its part, and keeps no state that matters."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _last_line(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as file:
        return (file.read().strip().splitlines() or ["no word why"])[-1]
