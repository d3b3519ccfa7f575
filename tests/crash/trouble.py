"""A disk that is full, fails or is slow: clear errors, nothing lost, and on by itself.

Run as `python -m tests.crash.trouble FIRST COUNT`, this is a program that declares on such a disk
and says what it was told.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from prokerja.errors import ProkerjaError
from prokerja.queue import Queue
from tests.crash.book import read
from tests.crash.jobs.mark import Mark
from tests.crash.ledger import Broken, Ledger
from tests.crash.plan import Plan
from tests.crash.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL, SHORT = 3000, 150
"""Jobs declared in each kind of trouble by a program; a hundredth of them by commands."""
CLEAR = {0, 1, 75}
SMALL = "12m"
"""Size of the disk that fills: more than a log that nobody needs to move into the file yet."""
BALLAST = 65536


class Trouble:
    """One queue on a disk that can be made to fail, with a worker that must outlive it."""

    def __init__(self, site: Site, seed: int, ledger: Ledger) -> None:
        self._site = site
        self._ledger = ledger
        self.plan = Plan(site.folder, site.db, seed)
        self._next = 0
        self._answered: dict[int, int] = {}
        """The ids that were given to the numbers declared."""
        self._site.run("jobs")
        self._worker = site.start("realization:start", more=self.plan.environment)
        site.until(lambda: "started:" in site.said())

    def declare(self, count: int, what: str) -> None:
        """Declare so many jobs, most by a program, some by commands of their own."""
        first, self._next = self._next, self._next + count
        told = self._program(first, count)
        for _ in range(max(3, count // 100)):
            self._command(what)
        refused = Counter(line["error"] for line in told if "error" in line)
        self._answered |= {line["n"]: line["id"] for line in told if "id" in line}
        self._ledger.count(f"declared with {what}", len(told) - refused.total())
        self._ledger.count(f"refused with {what}", refused.total())

    def go_on(self, what: str) -> None:
        """All is well again: the worker must realize everything by itself."""
        self.plan.heal()
        if self._worker.poll() is not None:
            left = self._worker.returncode
            raise Broken(f"{what}: the worker left with {left}: {self._site.said()[-4000:]}")
        for few in _slices(list(self._answered.values()), 500):
            done = self._site.run("wait", *map(str, few), "--timeout", "60s")
            if done.returncode:
                raise Broken(f"{what}: {done.stderr.decode()}{self._site.said()[-4000:]}")
        self._ledger.count(f"workers that went on after {what}")

    def check(self) -> None:
        """Stop the worker; every job answered for was realized, each of them once."""
        self._worker.terminate()
        if self._worker.wait(60):
            raise Broken(f"the worker left with {self._worker.returncode}: {self._site.said()}")
        self._site.check()
        runs = read(self._site.book)
        lost = [n for n in self._answered if n not in runs]
        self._ledger.require("answered for, and realized", holds=not lost, otherwise=f"{lost}")
        twice = {n: len(of) for n, of in runs.items() if len(of) > 1}
        self._ledger.require("none realized twice", holds=not twice, otherwise=f"{twice}")
        self._ledger.count("calls that failed", self.plan.failed)

    def _program(self, first: int, count: int) -> list[dict[str, int]]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.trouble", str(first), str(count)],
            env=self._site.environment | self.plan.environment,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise Broken(f"a program that declares met no error of ours: {done.stderr.decode()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _command(self, what: str) -> None:
        n, self._next = self._next, self._next + 1
        done = self._site.run("declare:job", "mark", f"n={n}", more=self.plan.environment)
        said = done.stderr.decode()
        if done.returncode not in CLEAR or len(said.splitlines()) > 1 or "Traceback" in said:
            raise Broken(f"{what}: a command left with {done.returncode} and said: {said}")
        if not done.returncode:
            self._answered[n] = int(done.stdout)
        self._ledger.count(f"commands that left with {done.returncode}")


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Every trouble in turn, on one queue; then a disk that is really full."""
    jobs = SHORT if short else FULL
    with Site() as site:
        trouble = Trouble(site, seed, ledger)
        for what, error in (("a full disk", errno.ENOSPC), ("write errors", errno.EIO)):
            trouble.declare(jobs // 5, "a sound disk")
            trouble.plan.fail(error, writes=0.05)
            trouble.declare(jobs, what)
            trouble.go_on(what)
        trouble.plan.fail(errno.EIO, syncs=0.2)
        trouble.declare(jobs, "failing syncs")
        trouble.go_on("failing syncs")
        trouble.plan.fail(errno.EIO, writes=1.0)
        trouble.declare(20, "a dead disk")
        trouble.go_on("a dead disk")
        trouble.plan.slow(0.01)
        trouble.declare(jobs // 5, "a slow disk")
        trouble.go_on("a slow disk")
        trouble.check()
    with small_disk(ledger) as folder:
        if folder:
            _fill(folder, seed, jobs, ledger)


def _fill(folder: str, seed: int, jobs: int, ledger: Ledger) -> None:
    what = "a small disk that is full"
    with Site(store=folder) as site:  # what jobs and workers write has room elsewhere
        trouble = Trouble(site, seed, ledger)
        trouble.declare(jobs // 5, "a small disk")
        ballast = os.path.join(folder, "ballast")
        with open(ballast, "wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(BALLAST)) == BALLAST:
                pass
        trouble.declare(jobs, what)
        os.unlink(ballast)
        trouble.go_on(what)
        trouble.check()


@contextmanager
def small_disk(ledger: Ledger) -> Iterator[str | None]:
    """A file system of SMALL bytes, if we may mount one."""
    with Site() as site:
        folder = os.path.join(site.folder, "small")
        os.mkdir(folder)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            ledger.note("no small disk: only root may mount one")
            yield None
            return
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def declare_all(first: int, count: int) -> None:
    """Declare, and say of each what came of it."""
    queue = None
    for n in range(first, first + count):
        try:
            queue = queue or Queue()
            print(json.dumps({"n": n, "id": queue.declare(Mark(n))}))
        except ProkerjaError as error:
            print(json.dumps({"n": n, "error": error.exit_code}))


def _slices(ids: list[int], size: int) -> Iterator[list[int]]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


if __name__ == "__main__":
    declare_all(int(sys.argv[1]), int(sys.argv[2]))
