"""Clocks: a real worker, under libfaketime, whose time of day jumps by hours in both directions."""

from __future__ import annotations

import glob
import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.crash.book import Run, read
from tests.crash.site import PROJECT, Site

if TYPE_CHECKING:
    import subprocess

    from tests.crash.ledger import Ledger

SHORT, FULL = 4, 60
"""Jumps."""
LONGEST = 12 * 3600
IDLE_SECONDS, MAX_CPU_SECONDS = 1.0, 0.3
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
SLEEPING = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
"""libfaketime refuses to sleep until a moment of a clock that it does not fake, as Python does."""


class Delayed(NamedTuple):
    """A job that is not to run before its time."""

    n: int
    since: float
    """When it was declared, in monotonic seconds."""
    delay: float


class Clock:
    """The time of day of all that is started with `environment`."""

    def __init__(self, folder: str, library: str) -> None:
        self._file = os.path.join(folder, "clock")
        self.jumps: list[tuple[float, int]] = []
        """When it was set, in monotonic seconds, and by how much."""
        self._ahead = 0
        self.set(0)
        place = os.path.join(folder, "sleeping")
        os.mkdir(place)
        with open(os.path.join(place, "sitecustomize.py"), "w", encoding="utf-8") as file:
            file.write(SLEEPING)
        self.environment = {
            "PYTHONPATH": os.pathsep.join([place, PROJECT]),
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": self._file,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead: int) -> None:
        """Have it be so many seconds ahead."""
        with open(f"{self._file}.new", "w", encoding="ascii") as file:
            file.write(f"{ahead:+d}")
        self.jumps.append((time.monotonic(), ahead - self._ahead))
        os.rename(f"{self._file}.new", self._file)
        self._ahead = ahead

    def forward_since(self, moment: float) -> float:
        """By how much it was put forward, all in all."""
        return float(sum(max(by, 0) for at, by in self.jumps if at >= moment))


def library() -> str | None:
    """Where libfaketime is; None if it is not installed."""
    return next((path for pattern in LIBRARIES for path in glob.glob(pattern)), None)


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Jump, and see that what is due runs, once, and nothing else does."""
    found = library()
    if found is None:
        ledger.note("no libfaketime: the package faketime has it")
        return
    chance = random.Random(seed)
    with Site() as site:
        clock = Clock(site.folder, found)
        site.environment |= clock.environment
        worker = site.start("realization:start", "--realizers", "2")
        site.until(lambda: "started:" in site.said())
        numbers = iter(range(10**9))
        delayed: list[Delayed] = []
        due: list[int] = []
        for _ in range(SHORT if short else FULL):
            due += [_declare(site, next(numbers)) for _ in range(2)]
            delayed.append(_delay(site, next(numbers), float(chance.randrange(60, 2 * LONGEST))))
            clock.set(chance.randrange(-LONGEST, LONGEST))
            due.append(_declare(site, next(numbers)))
            site.until(partial(_all_ended, site, due))
            ledger.count("jumps")
        _check_idle(worker, ledger)
        _check_book(site, clock, due, delayed, ledger)
        site.check()
        ledger.count("told of", site.said().count("the clock was put"))
        worker.terminate()
        ledger.require("the worker ends well", holds=worker.wait(60) == 0, otherwise=site.said())


def _declare(site: Site, n: int, *options: str) -> int:
    done = site.run("declare:job", "mark", f"n={n}", *options)
    assert done.returncode == 0, done.stderr
    return n


def _delay(site: Site, n: int, delay: float) -> Delayed:
    since = time.monotonic()
    return Delayed(_declare(site, n, "--in", f"{delay:.0f}s"), since, delay)


def _check_idle(worker: subprocess.Popen[bytes], ledger: Ledger) -> None:
    process = psutil.Process(worker.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(IDLE_SECONDS)
    used = sum(process.cpu_times()[:2]) - before
    ledger.require("no hot loop", holds=used < MAX_CPU_SECONDS, otherwise=f"{used} s of CPU")


def _check_book(
    site: Site, clock: Clock, due: list[int], delayed: list[Delayed], ledger: Ledger
) -> None:
    runs = read(site.book)
    for n in due:
        ledger.require("what is due runs once", holds=len(runs[n]) == 1, otherwise=f"{runs[n]}")
    for one in delayed:
        ledger.require(
            "nothing runs earlier than by the jumps",
            holds=all(_may(run, one, clock) for run in runs[one.n]),
            otherwise=f"{one}: {runs[one.n]} after {clock.jumps}",
        )


def _may(run: Run, job: Delayed, clock: Clock) -> bool:
    return run.began - job.since + clock.forward_since(job.since) >= job.delay


def _all_ended(site: Site, numbers: list[int]) -> bool:
    runs = read(site.book)
    return all(any(run.ended for run in runs[n]) for n in numbers)
