"""Contention: everybody at once, for a while; no errors, and the ledger balances.

Run as `python -m tests.crash.contention FIRST SECONDS`, this is one of those who declare.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import Any, NamedTuple

from prokerja.queue import Queue
from tests.crash.book import read
from tests.crash.invariants import faults
from tests.crash.jobs.flaky import Flaky
from tests.crash.jobs.mark import Mark
from tests.crash.ledger import Broken, Ledger
from tests.crash.site import Site


class Size(NamedTuple):
    """How much of everything."""

    declarers: int
    workers: int
    seconds: float


FULL, SHORT = Size(50, 8, 60.0), Size(10, 2, 6.0)
RANGE = 10_000_000
"""Numbers that each declarer has for its jobs."""
PACE = 0.002
"""Seconds between two declarations of one process, so that workers can keep up."""


class Crowd:
    """Who does what to one queue."""

    def __init__(self, site: Site, size: Size, ledger: Ledger) -> None:
        self._site = site
        self._size = size
        self._ledger = ledger
        self._until = time.monotonic() + size.seconds
        self._errors: list[str] = []
        self._purged = 0
        Queue(site.db).close()  # there is something to back up

    def meet(self) -> int:
        """All of them at once; returns how many jobs were declared."""
        workers = [self._site.start("realization:start") for _ in range(self._size.workers)]
        declarers = [self._declarer(number) for number in range(self._size.declarers)]
        others = [
            threading.Thread(target=self._again, args=(act,))
            for act in (self._purge, self._retry, self._report, self._backup)
        ]
        for other in others:
            other.start()
        told = [self._told(declarer) for declarer in declarers]
        for other in others:
            other.join()
        for worker in workers:
            worker.terminate()
        left = [worker.wait(60) for worker in workers]
        if any(left):
            self._errors.append(f"workers left with {left}: {self._site.said()[-3000:]}")
        self._ledger.note(f"longest wait of a declarer: {max(t['longest'] for t in told):.3f} s")
        return sum(t["count"] for t in told)

    def balance(self, declared: int) -> None:
        """What was declared is there, or was purged; nothing ran twice; raises Broken."""
        if self._errors:
            raise Broken("\n".join(self._errors[:5]))
        last = self._site.run("realization:start", "--until-empty")
        if last.returncode:
            raise Broken(f"the last worker left with {last.returncode}: {last.stderr.decode()}")
        self._site.check()
        tally = self._site.tally()
        self._ledger.count("jobs declared", declared)
        self._ledger.count("jobs purged", self._purged)
        self._ledger.require(
            "declared = there + purged", holds=declared == sum(tally.values()) + self._purged,
            otherwise=f"{declared} declared, {tally} there, {self._purged} purged",
        )  # fmt: skip
        runs = read(self._site.book)
        twice = {n: len(of) for n, of in runs.items() if len(of) > 1}
        self._ledger.require("none ran twice", holds=not twice, otherwise=f"{twice}")
        marks = declared - declared // 10
        self._ledger.count("marked jobs realized", len(runs))
        self._ledger.require(
            "all were realized", holds=len(runs) >= marks - self._size.declarers,
            otherwise=f"{len(runs)} of {marks}",
        )  # fmt: skip

    def _declarer(self, number: int) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.crash.contention"]
        words += [str(number * RANGE), str(self._size.seconds)]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._site.environment
        )
        self._site.processes.append(process)
        return process

    def _told(self, declarer: subprocess.Popen[bytes]) -> Any:
        out, errors = declarer.communicate()
        if declarer.returncode:
            raise Broken(f"a declarer met an error: {errors.decode()}")
        return json.loads(out)

    def _again(self, act: Any) -> None:
        while time.monotonic() < self._until and not self._errors:
            try:
                act()
            except Exception as error:  # noqa: BLE001
                self._errors.append(f"{act.__name__}: {error!r}")

    def _command(self, *words: str) -> bytes:
        done = self._site.run(*words)
        if done.returncode:
            self._errors.append(f"{words} left with {done.returncode}: {done.stderr.decode()}")
        self._ledger.count(f"{words[0]} at the same time")
        return done.stdout

    def _purge(self) -> None:
        self._purged += int(self._command("purge", "--yes", "--older-than", "1s") or 0)

    def _retry(self) -> None:
        self._command("retry", "--failed")

    def _report(self) -> None:
        self._command("report")
        self._command("report:jobs", "--json")

    def _backup(self) -> None:
        """As `sqlite3 FILE .backup` does it."""
        into = os.path.join(self._site.folder, "backup")
        source = sqlite3.connect(self._site.db, timeout=60)
        with closing(source), closing(sqlite3.connect(into)) as target:
            source.backup(target)
            wrong = list(faults(target))
        os.unlink(into)
        if wrong:
            self._errors.append(f"a backup is wrong: {wrong[:5]}")
        self._ledger.count("backups at the same time")


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Meet, and balance."""
    with Site() as site:
        crowd = Crowd(site, SHORT if short else FULL, ledger)
        crowd.balance(crowd.meet())


def declare_on(first: int, seconds: float) -> None:
    """Declare one job after the other, every tenth a flaky one."""
    give_up = time.monotonic() + seconds
    count, longest = 0, 0.0
    with closing(Queue()) as queue:
        while (began := time.monotonic()) < give_up:
            queue.declare(Flaky(count) if count % 10 == 9 else Mark(first + count))
            longest = max(longest, time.monotonic() - began)
            count += 1
            time.sleep(PACE)
    print(json.dumps({"count": count, "longest": longest}))


if __name__ == "__main__":
    declare_on(int(sys.argv[1]), float(sys.argv[2]))
