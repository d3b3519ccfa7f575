"""Hostile files: a clear line and an exit code, never a traceback, a hang, or a foreign write.

Run as `python -m tests.crash.hostile SEED COUNT COMMANDS`, this is the process that meets the
files, and says of each what came of it, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import select
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

from prokerja.cli import run_safely
from prokerja.errors import ProkerjaError
from tests.crash.ledger import Broken, Ledger
from tests.crash.mutations import mutate
from tests.crash.site import Site
from tests.crash.specimen import COUNT, JOBS, make

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL, SHORT = 1000, 80
"""Mutations of one run."""
REAL = 10
"""Of so many files, one is given to processes of their own, a worker among them."""
OUTSIDE = 3
HERE, ALL = 6, 100
"""How many commands meet a file in the short form; in the long one, all do."""
HANGS = 20.0
LIMIT = 120.0
"""Seconds after which a command hangs: in a process of its own, and in one for all."""
SLOW = 10.0
"""Seconds that no command may take over so small a file."""
CODES = {0, 1, 2, 75, 81, 124}
BATCH = '{"job": "noop", "payload": {"n": 2}}\n'


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Give each file to every command."""
    count = SHORT if short else FULL
    faults: dict[str, str] = {}
    for told in _meet(seed, count, HERE if short else ALL):
        ledger.count(f"files {told['how'].partition(':')[0]}")
        for what, number in told["codes"].items():
            ledger.count(what, number)
        for where, fault in told["faults"].items():
            faults.setdefault(where, f"file {told['number']} ({told['how']}): {fault}")
    if faults:
        each = "\n".join(f"--- {where}\n{fault}" for where, fault in faults.items())
        raise Broken(f"{len(faults)} different faults:\n{each}")


def _meet(seed: int, count: int, commands: int) -> Iterator[dict[str, Any]]:
    words = [sys.executable, "-m", "tests.crash.hostile", str(seed), str(count)]
    words.append(str(commands))
    with Site(jobs=JOBS) as site:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, env=site.environment, cwd=site.folder
        )
        site.processes.append(process)
        assert process.stdout is not None
        with process.stdout as told:
            for number in range(count):
                if not select.select([told], [], [], LIMIT)[0]:
                    raise Broken(f"file {number}: a command hangs")
                line = told.readline()
                if not line:
                    raise Broken(f"file {number}: the process died with {process.wait()}")
                yield json.loads(line)


class Encounter:
    """One file, and every command that meets it."""

    def __init__(self, seed: int, number: int, specimen: str, db: str) -> None:
        self._chance = random.Random(f"{seed} {number}")
        self._db = db
        for old in (db, *_beside(db)):
            if os.path.isdir(old):
                os.rmdir(old)
            elif os.path.lexists(old):
                os.unlink(old)
        shutil.copyfile(specimen, db)
        self.how = mutate(db, self._chance)
        self._before = _digest(db) if self.how.startswith("foreign") else None
        self.codes: Counter[str] = Counter()
        self.faults: dict[str, str] = {}

    def here(self, commands: int) -> None:
        """In this process, so many commands."""
        for words in self._commands()[:commands]:
            began = time.monotonic()
            try:
                code = run_safely(words)
            except ProkerjaError as error:
                code = error.exit_code
            except OSError:
                code = 1  # told in a line by whoever called
            except SystemExit as leave:
                code = int(leave.code or 0)
            except Exception as error:  # noqa: BLE001
                self._fault(words, _where(error), traceback.format_exc(limit=-4))
                continue
            self.codes[f"{words[0]} left with {code}"] += 1
            took = time.monotonic() - began
            if took > SLOW:
                self._fault(words, f"{words[0]} takes {took:.0f} s", "")
        self._look()

    def outside(self, site: Site) -> None:
        """In processes of their own."""
        for words in (*self._commands()[:OUTSIDE], ["realization:start", "--until-empty"]):
            try:
                done = site.run(*words, stdin=BATCH.encode(), patience=HANGS)
            except subprocess.TimeoutExpired:
                self._fault(words, f"{words[0]} hangs", "")
                continue
            said = done.stderr.decode(errors="replace")
            if "Traceback" in said or done.returncode not in CODES:
                self._fault(words, said.strip().rpartition("\n")[2][:100], said[-1500:])
            self.codes[f"a process of {words[0]} left with {done.returncode}"] += 1
        self._look()

    def _commands(self) -> list[list[str]]:
        id = str(self._chance.randint(1, COUNT))
        commands = [
            ["declare:job", "noop", "n=1"], ["declare:batch", "-"], ["report"],
            ["report", "--json"], ["report:jobs"], ["report:jobs", "--json", "--status", "failed"],
            ["report:jobs", "--status", "processing"], ["report:jobs", "--job", "noop"],
            *(["report:job", str(n)] for n in range(1, 9)), ["report:job", id, "--json"],
            ["retry", "2"], ["retry", "--failed"], ["wait", "1", id, "--timeout", "0"],
            ["purge", "--yes", "--status", self._chance.choice(("completed", "failed", "pending"))],
            ["jobs"],
        ]  # fmt: skip
        self._chance.shuffle(commands)
        return commands

    def _look(self) -> None:
        if self._before not in (None, EMPTY, _digest(self._db)):
            self._fault([], "wrote into a foreign file", "")

    def _fault(self, words: list[str], where: str, told: str) -> None:
        self.faults[where] = f"{' '.join(words)}\n{told}"


def _beside(db: str) -> list[str]:
    return [db + end for end in ("-wal", "-shm", "-journal")]


def _digest(path: str) -> str:
    if not os.path.isfile(path):
        return "no file"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


EMPTY = hashlib.sha256(b"").hexdigest()
"""An empty file is nobody's, and may become a queue."""


def _where(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/prokerja/" in f.filename]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}: {error}"[
        :150
    ]


def meet(seed: int, count: int, commands: int) -> None:
    """Meet the files, and tell."""
    out = os.dup(1)
    with Site(jobs=JOBS) as site, open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.environ.update(site.environment)
        specimen = os.path.join(site.folder, "specimen")
        make(specimen)
        batch = os.path.join(site.folder, "batch")
        with open(batch, "w", encoding="utf-8") as file:
            file.write(BATCH)
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            for number in range(count):
                encounter = Encounter(seed, number, specimen, site.db)
                with open(batch, encoding="utf-8") as sys.stdin:
                    encounter.outside(site) if number % REAL == 0 else encounter.here(commands)
                told = {"number": number, "how": encounter.how, "codes": encounter.codes,
                        "faults": encounter.faults}  # fmt: skip
                os.write(out, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    meet(*map(int, sys.argv[1:]))
