"""Declarers killed in the middle of a batch: all of it is there, or nothing.

Run as `python -m tests.crash.batches FIRST SIZE`, this is such a declarer: it declares batch
after batch until it is killed, and says how far it is.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from prokerja.queue import Queue
from tests.crash.jobs.mark import Mark
from tests.crash.site import PATIENCE, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.ledger import Ledger

FULL, SHORT = (150, 20_000), (6, 3_000)
"""Kills of each kind of declarer, and jobs in a batch."""
STEP = 500
"""Jobs after which a declarer says how far it is."""
MOMENTS = 0.01, 0.1
"""Seconds within which a declarer is killed that has nothing left to be fed, of either kind."""


class Batches:
    """Batches of numbered jobs, and what was answered for them."""

    def __init__(self, site: Site, seed: int, size: int, ledger: Ledger) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._size = size
        self._ledger = ledger
        self._begun = 0
        self._answered: set[int] = set()
        site.run("jobs")

    def kill_python(self) -> None:
        """Kill a process in `declare_many`."""
        first = self._begun
        words = [sys.executable, "-m", "tests.crash.batches", str(first), str(self._size)]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, env=self._site.environment
        ) as declarer:
            assert declarer.stdout is not None
            steps = self._size // STEP + 1
            lines = [declarer.stdout.readline() for _ in range(self._random.randrange(3 * steps))]
            time.sleep(self._random.random() * MOMENTS[0])
            declarer.kill()
            lines += declarer.stdout.readlines()
        told = [line for line in lines if line.startswith(b"answered")]
        self._answered |= {int(line.split()[1]) for line in told}
        self._begun += len(told) + 1
        self._ledger.count("declarers killed in declare_many")

    def kill_command(self) -> None:
        """Kill `prokerja declare:batch` while it reads, or as it commits."""
        batch = self._begun
        words = [sys.executable, "-m", "prokerja", "declare:batch"]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            words, stdin=pipe, stdout=pipe, env=self._site.environment
        ) as declarer:
            assert declarer.stdin is not None
            assert declarer.stdout is not None
            lines = list(numbered(batch, self._size))
            whole = self._random.random() < 0.5
            fed = lines if whole else lines[: self._random.randrange(self._size)]
            declarer.stdin.write(b"".join(fed))
            if whole:
                declarer.stdin.close()
                time.sleep(self._random.random() * MOMENTS[0])
            declarer.kill()
            if declarer.stdout.read():
                self._answered.add(batch)
            with suppress(BrokenPipeError):
                declarer.stdin.close()
        self._begun += 1
        self._ledger.count("declarers killed in declare:batch")

    def check(self) -> None:
        """All or nothing, and all of what was answered for; raises Broken."""
        self._site.check()
        query = "SELECT json_extract(payload, '$.n') / ? FROM declaration"
        with closing(sqlite3.connect(self._site.db)) as connection:
            counts = Counter(batch for (batch,) in connection.execute(query, (self._size,)))
        partial = {batch: count for batch, count in counts.items() if count != self._size}
        require = self._ledger.require
        require("all of a batch or nothing", holds=not partial, otherwise=f"{partial}")
        lost = self._answered - counts.keys()
        require("answered batches are there", holds=not lost, otherwise=f"{lost} are not")
        self._ledger.count("batches answered for and there", len(self._answered))
        self._ledger.count("batches there, though killed before the answer",
                           len(counts.keys() - self._answered))  # fmt: skip
        self._ledger.count("batches not there", self._begun - len(counts))


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Kill, and look."""
    kills, size = SHORT if short else FULL
    with Site() as site:
        batches = Batches(site, seed, size, ledger)
        for _ in range(kills):
            batches.kill_python()
            batches.kill_command()
        batches.check()


def numbered(batch: int, size: int) -> Iterator[bytes]:
    """A batch as JSON Lines."""
    for n in range(batch * size, (batch + 1) * size):
        yield json.dumps({"job": "mark", "payload": {"n": n}}).encode() + b"\n"


def declare_for_ever(first: int, size: int) -> None:
    """Be killed."""
    queue = Queue()
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        queue.declare_many(_telling(first, size))
        os.write(1, b"answered %d\n" % first)
        first += 1


def _telling(batch: int, size: int) -> Iterator[Mark]:
    for n in range(batch * size, (batch + 1) * size):
        if n % STEP == 0:
            os.write(1, b".\n")
        yield Mark(n)


if __name__ == "__main__":
    declare_for_ever(int(sys.argv[1]), int(sys.argv[2]))
