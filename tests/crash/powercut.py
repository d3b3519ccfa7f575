"""Power cut at every write: whatever the disk kept, what was acknowledged is there."""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
import sqlite3
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import Any, NamedTuple

from prokerja.errors import ProkerjaError
from prokerja.lifecycle import DAY
from prokerja.model.flow import QueueRule
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.declarations import NEXT_ID
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.verdicts import Completed
from tests.crash.disk import FATES, Disk
from tests.crash.invariants import faults
from tests.crash.ledger import Broken, Ledger
from tests.crash.log import contradictions, miscounted_notices
from tests.crash.recording import Event, record
from tests.crash.site import MEMORY
from tests.crash.work import recover, take
from tests.crash.workload import DATABASE, TAKING

FULL, SHORT = 12_000, 400
"""Disks in one run."""
RATED = 3.0
"""Seconds after which a rate allows the next in any case."""
DRAINED = 10
"""Every so many disks, a worker goes on with what it finds."""


class Acknowledged:
    """What the queue has answered for so far."""

    def __init__(self) -> None:
        self.payloads: dict[int, str] = {}
        self.retried: dict[int, int] = {}
        self.cancelled: set[int] = set()
        """And not given a fresh start since."""
        self.steps: set[tuple[int, str]] = set()
        self.resolved: dict[int, tuple[float, int, str]] = {}
        """Since when they had been waiting, after how many attempts, and the last answer."""
        self.parents: dict[int, list[int]] = {}
        """Of those that wait for others to complete: the others."""
        self.doomed: set[int] = set()
        """A purge of these has begun, so they may be gone."""
        self.gone: set[int] = set()
        """A purge of these was acknowledged."""
        self.steered: dict[str, list[Any]] = {}
        """Of a queue: limit, rate, whether it is paused; nothing while that changes."""
        self.last = 0

    def hear(self, note: Any) -> None:
        """One note of the workload."""
        what, about = note
        if what == "declared":
            told = {int(id): payload for id, payload in about.items()}
            self.payloads |= told
            self.last = max(self.last, *told)
        elif what == "retried":
            self.retried |= {int(id): attempt for id, attempt in about.items()}
        elif what == "cancelled":
            self.cancelled |= set(about)
        elif what == "stepped":
            self.steps.add(tuple(about))
        elif what == "depends":
            self.parents[about[0]] = about[1]
        elif what == "resolved":
            self.resolved[about[0]] = tuple(about[1])
        elif what in ("steering", "steered"):  # what was said before holds no longer
            [queue, *said] = about
            self.steered = {**self.steered, queue: said}
        elif what == "reopening":
            self.cancelled -= set(about)
        elif what == "purging":
            self.doomed |= set(about)
        else:
            self.gone |= set(about)

    def broken(self, repository: SQLiteRepository) -> list[str]:
        """Which of its answers the file does not keep."""
        query = "SELECT id, payload, forgiven FROM declaration"
        found = {id: rest for id, *rest in repository.database.execute(query)}
        lost = [id for id in self.payloads.keys() - self.doomed if id not in found]
        changed = [id for id, text in self.payloads.items() if found.get(id, [text])[0] != text]
        back = [id for id in self.gone if id in found]
        undone = [id for id, old in self.retried.items() if id in found and found[id][1] < old]
        told = {"lost": lost, "changed": changed, "purged and back": back, "retry undone": undone}
        told["cancelled and forgotten"] = sorted(self.cancelled.intersection(runnable(repository)))
        done = {*repository.database.execute("SELECT declaration, name FROM step")}
        told["step forgotten"] = [id for id, _ in self.steps - done if id in found]
        told["waiting and forgotten"] = self._too_early(repository)
        told["resolved and forgotten"] = self._unresolved(repository)
        faults = [f"acknowledged, but {what}: jobs {ids}" for what, ids in told.items() if ids]
        return faults + self._reused(repository) + self._unsteered(repository)

    def _unsteered(self, repository: SQLiteRepository) -> list[str]:
        rules = {rule.name: rule for rule in repository.queue_rules()}
        found = {queue: rules.get(queue, QueueRule(queue)) for queue in self.steered}
        return [
            f"of queue {queue}, {said} was acknowledged, and {found[queue]} is there"
            for queue, said in self.steered.items()
            if said
            for _, limit, rate, paused_at, *_ in (found[queue],)
            if said != [limit, rate and list(rate), paused_at is not None]
        ]

    def _too_early(self, repository: SQLiteRepository) -> list[int]:
        """Of those that wait for others to complete: the ones that would run before that."""
        query = "SELECT id FROM declaration WHERE status <> 1"
        missing = {id for (id,) in repository.database.execute(query)}
        early = missing.intersection(runnable(repository))
        return [id for id in early if missing.intersection(self.parents.get(id, ()))]

    def _unresolved(self, repository: SQLiteRepository) -> list[int]:
        """Of those that were resolved: the ones that wait as before, or are without an answer.

        An answer is used by the attempt that ends with it, or that waits once more.
        """
        query = """
            SELECT id, since, data FROM declaration LEFT JOIN awaiting ON awaiting.declaration = id
            LEFT JOIN answer ON answer.declaration = id WHERE status = 0 AND attempt = ? AND id = ?
        """
        lost = []
        for id, (since, attempt, answer) in self.resolved.items():
            row = repository.database.execute(query, (attempt, id)).fetchone()
            if row is not None and (row[1] <= since if row[1] else row[2] != answer):
                lost.append(id)
        return lost

    def _reused(self, repository: SQLiteRepository) -> list[str]:
        [next_id] = repository.database.execute(NEXT_ID).fetchone()
        if next_id <= self.last:
            return [f"ids from {next_id} to {self.last} would be given out again"]
        return []


def runnable(repository: SQLiteRepository) -> list[int]:
    """What will run to its end if nothing is done about it."""
    query = """
        SELECT declaration FROM pending UNION
        SELECT value FROM claim, json_each(claim.declarations) WHERE value NOT IN (
            SELECT declaration FROM cancellation WHERE cancellation.token = claim.token)"""
    return [id for (id,) in repository.database.execute(query)]


class Share(NamedTuple):
    """The part of a run that one process does."""

    events: list[Event]
    seed: int
    disks: int
    number: int
    of: int


def prove(seed: int, ledger: Ledger, *, short: bool, synchronous: str = "FULL") -> None:
    """Record one life of a queue, and cut the power at every point of it."""
    disks, steps = (SHORT, 120) if short else (FULL, 500)
    with tempfile.TemporaryDirectory(prefix="prokerja-cut-", dir=MEMORY) as folder:
        events = record(folder, seed, steps, synchronous)
    for kind, what in {"w": "writes", "s": "syncs", "t": "truncations", "n": "answers"}.items():
        ledger.count(f"{what} recorded", sum(event.kind == kind for event in events))
    workers = 1 if short else os.cpu_count() or 1
    shares = [Share(events, seed, disks, number, workers) for number in range(workers)]
    if short:
        counts = [cut(shares[0])]
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            counts = list(pool.map(cut, shares))
    for counted in counts:
        for what, number in counted.items():
            ledger.count(what, number)


def cut(share: Share) -> dict[str, int]:
    """Rebuild and check this share of the disks; returns the counts, or raises Broken."""
    ledger, disk, told = Ledger(), Disk(), Acknowledged()
    total = sum(event.kind != "n" for event in share.events)
    done = built = 0
    with tempfile.TemporaryDirectory(prefix="prokerja-cut-", dir=MEMORY) as folder:
        for point, event in enumerate(share.events):
            if event.kind == "n":
                told.hear(event.note)
                continue
            disk.do(event)
            done += 1
            # More of them at the beginning, where the file is made: that takes few writes.
            due = int(share.disks * math.sqrt(done / total))
            for number in range(built, due):
                if number % share.of == share.number:
                    chance = random.Random(f"{share.seed} {number}")
                    fate = chance.choice(FATES)
                    files = disk.after_cut(fate, chance)
                    where = f"disk {number}, cut after event {point} ({event}), unsynced {fate}"
                    check(folder, files, told, where, drain=number % DRAINED == 0)
                    ledger.count(f"disks rebuilt, unsynced writes {fate}")
            built = due
    return dict(ledger.counts)


def check(
    folder: str, files: dict[str, bytes | None], told: Acknowledged, where: str, *, drain: bool
) -> None:
    """Open one disk as the next process would; raises Broken."""
    root = os.path.join(folder, "root")
    os.mkdir(root)
    for path, content in sorted(files.items()):
        into = os.path.join(root, path)
        if content is None:
            os.mkdir(into)
        else:
            with open(into, "wb") as file:
                file.write(content)
    try:
        wrong = _wrong(os.path.join(root, DATABASE), told, drain=drain)
    except (ProkerjaError, sqlite3.Error) as error:
        wrong = [f"cannot be opened: {error}"]
    shutil.rmtree(root)
    if wrong:
        raise Broken(f"{where}: {'; '.join(wrong[:5])}")


def _wrong(path: str, told: Acknowledged, *, drain: bool) -> list[str]:
    with closing(SQLiteRepository(path)) as repository:
        wrong = [*faults(repository.database.connection), *told.broken(repository)]
        wrong += [*contradictions(repository), *miscounted_notices(repository)]
        if drain and not wrong:
            drained(repository)
            found = [*faults(repository.database.connection), *contradictions(repository)]
            wrong = [f"after going on: {fault}" for fault in found]
        return wrong


def drained(repository: SQLiteRepository) -> None:
    """Work as the next worker would: put back what the dead held, and complete everything."""
    later = time.time() + DAY
    repository.database.durable(False)
    recover(repository, later)
    for (id,) in repository.database.execute("SELECT declaration FROM awaiting").fetchall():
        repository.resolve(id, "null", None, later)
    for queue in (rule.name for rule in repository.queue_rules() if rule.is_paused(later)):
        repository.resume_queue(queue, later)
    for turn in itertools.count():  # of a chain, one after the other
        later += RATED
        with repository.database.writing():
            taken = take(repository, TURNS + turn, later, taking=TAKING)
            done = [(claimed.id, claimed.lane, Completed(later, later, None)) for claimed in taken]
            repository.claims.settle(TURNS + turn, done, later, random.random)
        if not taken:
            break
    patient = """SELECT DISTINCT child FROM dependency LEFT JOIN declaration ON id = parent
        WHERE NOT met AND status IS NOT 0 AND child IN (SELECT declaration FROM blocked)"""
    for (id,) in repository.database.execute(patient).fetchall():
        repository.cancel([id], "its parent has failed", later, skip_ended=True)
    [(left,)] = repository.database.execute("SELECT sum(pending + processing) FROM lane")
    if left:
        raise Broken(f"{left} jobs cannot be realized any more")
