"""prokerja as its users run it: worker processes, and what they leave in the file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja import Queue
from tests.bench.stage import HERE, ROOT, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PROKERJA = os.path.join(os.path.dirname(sys.executable), "prokerja")
JOBS = os.path.join(ROOT, "jobs")
BENCH_JOBS = os.path.join(HERE, "jobs")
PATIENCE = 120.0
"""Seconds after which something that should have come is given up."""


def declare_noops(path: str, count: int) -> Sequence[int]:
    """Declare so many jobs that do nothing; their ids."""
    with closing(Queue(path)) as queue:
        return queue.declare_many(Noop(n=n) for n in range(count))


def realize(
    path: str, ids: Sequence[int], realizers: int, jobs: str = JOBS, options: Sequence[str] = ()
) -> float:
    """Jobs a second from the first start to the last end, by the times in the file.

    One worker process with default options, but for those given, realizes until the queue is empty.
    """
    command = command_line("realization:start", path, jobs, "--until-empty", *options)
    if realizers > 1:
        command += ["--realizers", str(realizers)]
    subprocess.run(command, env=surroundings(), check=True, stderr=subprocess.DEVNULL)
    query = """
        SELECT count(*), min(started_at), max(finished_at) FROM declaration
        WHERE id BETWEEN ? AND ? AND status = 1"""
    with closing(sqlite3.connect(path)) as connection:
        count, first, last = connection.execute(query, (ids[0], ids[-1])).fetchone()
    assert count == len(ids), f"{len(ids) - count} jobs of {len(ids)} are not completed"
    return float(count / (last - first))


@contextmanager
def worker(path: str, jobs: str = BENCH_JOBS, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that runs meanwhile and is stopped in good order; its stderr goes beside the file.

    When this begins, it has loaded its jobs and sleeps.
    """
    with open(f"{path}-stderr", "ab") as talk:
        command = command_line("realization:start", path, jobs, *options)
        process = subprocess.Popen(command, env=surroundings(), stderr=talk)
    try:
        await_true(lambda: b" started: " in _read(f"{path}-stderr"), "the worker's start")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def command_line(command: str, path: str, jobs: str, *words: str) -> list[str]:
    """One of prokerja's commands, as the shell would start it."""
    place = ["--db", path] if command.startswith("report") else ["--db", path, "--jobs", jobs]
    return [PROKERJA, command, *words, *place]


def await_true(condition: object, what: str, pause: float = 0.02) -> None:
    """Look every `pause` seconds until the condition holds."""
    assert callable(condition)
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"{what} has not come in {PATIENCE:.0f} s"
        time.sleep(pause)


def marks(path: str) -> dict[int, tuple[int, int]]:
    """What the Mark jobs have written: monotonic time and time of day of each start, in ns."""
    lines: Iterable[bytes] = _read(path).splitlines()
    rows = [tuple(map(int, line.split())) for line in lines]
    return {n: (monotonic, wall) for n, monotonic, wall in rows}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
