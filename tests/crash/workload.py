"""A queue's whole life in one process, every step noted as it is acknowledged.

Run as `python -m tests.crash.workload ROOT SEED STEPS SYNCHRONOUS`. The notes go to a file beside
the database, so that whoever records the writes of this process finds each note at its place
among them.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from prokerja.errors import RequestError
from prokerja.model.claim import Reported
from prokerja.model.declaration import NOTIFY, Conditions, Declaration, Ids, Lane, Status
from prokerja.model.flow import Flow, Rate
from prokerja.model.worker import Taking
from prokerja.notices import Rule
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.verdicts import Completed, Failed, Parked, Postponed, Released, Settlement
from tests.crash.work import recover, take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.model.claim import Claimed

NOTES = "notes"
DATABASE = os.path.join("share", "prokerja", "queue.sqlite3")
"""In directories that are made with it, as on a new machine."""
CHECKPOINT = 24
"""Pages of log after which SQLite moves them into the file: far fewer than usual."""
FLOWS = (
    None,
    Flow("db", 2, needs=(("gpu", 1),)),
    Flow("db", 1, "often", 3, 2.0),
    Flow(rate_key="often", max_starts=2, rate_seconds=2.0, fair_key="a"),
)
LANES = [
    Lane(queue, name, priority, "", flow)
    for flow in FLOWS
    for queue, name, priority in (("default", "a", 0), ("default", "b", 5), ("mail", "a", -3))
]
TAKING = Taking(resources={"gpu": 1})
TELL = Rule(("tell", "{id}"))


class Life:
    """Who declares, who works, and what both have done; one seed, one life."""

    def __init__(self, root: str, seed: int, synchronous: str) -> None:
        self._root = root
        self._random = random.Random(seed)
        self._synchronous = synchronous
        self._notes = os.open(os.path.join(root, NOTES), os.O_WRONLY | os.O_CREAT, 0o600)
        self._claimed: dict[int, list[Claimed]] = {}
        self._now = time.time()
        self._open()

    def live(self, steps: int) -> None:
        """Do so many things at random, the most common most often."""
        acts: dict[Callable[[], None], int] = {
            self._declare: 6, self._take: 5, self._settle: 6, self._start: 2, self._retry: 1,
            self._retry_all: 1, self._purge: 1, self._chores: 1, self._die: 1, self._shorten: 1,
            self._reopen: 1, self._cancel: 1, self._step: 3, self._resolve: 4, self._depend: 3,
            self._steer: 2, self._tell: 3,
        }  # fmt: skip
        for act in self._random.choices(list(acts), list(acts.values()), k=steps):
            self._now += self._random.random()
            act()

    def _open(self) -> None:
        path = os.path.join(self._root, DATABASE)
        self._front, self._back = SQLiteRepository(path), SQLiteRepository(path)
        self._back.database.durable(False)
        if self._synchronous != "FULL":
            self._front.database.execute(f"PRAGMA synchronous = {self._synchronous}")
        for side in (self._front, self._back):
            side.database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        self._register()

    def _register(self) -> None:
        """A new worker, which puts back what dead ones held."""
        register = self._back.registry.register
        rules = [("failed", TELL.to_json())]
        self._worker, self._lock = register(os.getpid(), self._now, 1, TAKING, rules)
        self._turn = 0
        recover(self._back, self._now)

    def _note(self, what: str, about: Any) -> None:
        os.write(self._notes, json.dumps([what, about]).encode() + b"\n")

    def _declare(self) -> None:
        many = self._random.choice((1, 1, 1, 2, 12))
        made = [self._declaration() for _ in range(many)]
        declarations = self._front.declarations
        if many == 1:
            ids: Sequence[int] = [declarations.add_one(made[0], self._now)]
        else:
            ids = declarations.add(made, self._now)
        payloads = (declaration.payload for declaration in made)
        self._note("declared", dict(zip(ids, payloads, strict=True)))

    def _depend(self) -> None:
        """A job that waits for others, and perhaps stands for a key."""
        ids = self._ids("1")
        parents = tuple(self._random.sample(ids, min(len(ids), self._random.randint(1, 3))))
        policy = self._random.choice(("cancel", "wait"))
        key = self._random.choice((None, None, "key"))
        asked = Conditions(coalesce=key, after=parents, if_parent_fails=policy)
        made = self._declaration()._replace(conditions=asked)
        declared = self._front.declare((made,), self._now)
        if not (isinstance(declared, Ids) and declared.coalesced):
            self._note("declared", {declared[0]: made.payload})
            self._note("depends", [declared[0], parents])

    def _declaration(self) -> Declaration:
        size = self._random.choice((0, 20, 200, 5000))
        text = json.dumps({"n": self._random.getrandbits(60), "text": "x" * size})
        lane = self._random.choice(LANES)
        return Declaration(lane, text, self._now, self._random.randrange(3), 0.5, None)

    def _take(self) -> None:
        self._turn += 1
        token = self._worker * TURNS + self._turn
        room = self._random.choice((1, 3, 20))
        with self._back.database.writing():
            taken = take(self._back, token, self._now, room, TAKING)
        if taken:
            self._claimed[token] = taken

    def _start(self) -> None:
        for token, claimed in list(self._claimed.items())[:2]:
            with self._back.database.writing():
                self._back.claims.started(token, [(claimed[0].id, self._now)], self._now)

    def _step(self) -> None:
        """A running job does one, which returns when it is on the disk."""
        if not self._claimed:
            return
        token = self._random.choice(list(self._claimed))
        job = self._random.choice(self._claimed[token])
        name, size = f"step {self._random.randrange(3)}", self._random.choice((0, 50, 5000))
        reported = Reported([((token, job.id), name, json.dumps("x" * size))])
        self._back.turn(self._worker, {}, (), None, self._now, reported=reported)
        self._note("stepped", [job.id, name])

    def _settle(self) -> None:
        if not self._claimed:
            return
        token = self._random.choice(list(self._claimed))
        held = self._claimed.pop(token)
        some = self._random.randint(1, len(held))
        if held[some:]:
            self._claimed[token] = held[some:]
        verdicts = [self._verdict(claimed) for claimed in held[:some]]
        with self._back.database.writing():
            self._back.claims.settle(token, verdicts, self._now, self._random.random)

    def _verdict(self, claimed: Claimed) -> Settlement:
        times = (self._now - 1, self._now)
        chance = self._random.random()
        if chance < 0.2:
            return (claimed.id, claimed.lane, Parked(*times, None, "secret"))
        if chance < 0.25:
            return (claimed.id, claimed.lane, Postponed(*times, 0.5))
        if chance < 0.7:
            more = (self._declaration(),) if chance < 0.35 else ()
            return (claimed.id, claimed.lane, Completed(*times, '"done"', more))
        if chance < 0.9:
            return (claimed.id, claimed.lane, Failed(*times, "no luck", "a traceback\n" * 40))
        return (claimed.id, claimed.lane, Released(counted=chance < 0.95))

    def _die(self) -> None:
        """The worker is gone without a word, and another follows it."""
        os.close(self._lock)
        self._claimed.clear()
        self._register()

    def _cancel(self) -> None:
        """By a command, which answers when it is on the disk."""
        ids = self._ids("status = 0")
        some = self._random.sample(ids, min(len(ids), 2))
        self._front.cancel(some, "cancelled", self._now)
        self._note("cancelled", some)

    def _resolve(self) -> None:
        """By a command, which answers when it is on the disk."""
        query = """
            SELECT id, since, attempt FROM awaiting JOIN declaration ON id = awaiting.declaration"""
        waiting = self._front.database.execute(query).fetchall()
        if waiting:
            id, since, attempt = self._random.choice(waiting)
            answer = str(self._random.getrandbits(60))
            self._front.resolve(id, answer, "secret", self._now)
            self._note("resolved", [id, [since, attempt, answer]])

    def _steer(self) -> None:
        """Pause a queue, limit it, or end that, by commands that answer when it is on the disk."""
        queue, now = self._random.choice(("default", "mail")), self._now
        limit, rate = self._random.choice((1, 3, None)), self._random.choice((Rate(2, 1.0), None))
        self._note("steering", [queue])
        self._front.limit_queue(queue, limit)
        self._front.rate_queue(queue, rate)
        rules = {rule.name: rule for rule in self._front.queue_rules()}
        is_paused = queue in rules and rules[queue].is_paused(now)
        pauses = not is_paused and self._random.random() < 0.3
        if pauses:
            self._front.pause_queue(queue, now, "ann", "it is late", None)
        elif is_paused:
            self._front.resume_queue(queue, now)
        self._note("steered", [queue, limit, rate, pauses])

    def _tell(self) -> None:
        """A turn in which the worker has nothing else to do: it declares the notices."""
        self._back.turn(self._worker, {}, (), None, self._now)

    def _retry(self) -> None:
        failed = self._ids("status = 2")
        if failed:
            self._retried([self._random.choice(failed)])

    def _retried(self, ids: Sequence[int]) -> None:
        self._note("reopening", list(ids))
        try:
            self._front.fresh_starts.retry(ids, self._now)
        except RequestError:  # another stands for its key
            return
        query = "SELECT attempt FROM declaration WHERE id = ?"
        attempts = {id: self._front.database.execute(query, (id,)).fetchone()[0] for id in ids}
        self._note("retried", attempts)

    def _retry_all(self) -> None:
        self._note("reopening", self._ids("status = 2"))
        self._front.fresh_starts.retry_failed(self._front.lanes.matching(None, None), self._now)

    def _purge(self) -> None:
        """By a command, which answers when it is on the disk."""
        status = self._random.choice((Status.COMPLETED, Status.FAILED, Status.PENDING))
        before = self._now - self._random.choice((0, 3, 10))
        ids = self._doomed(status, before)
        self._note("purging", ids)
        self._front.purging.purge(self._lanes(self._front), status, before)
        kept = {*self._ids("1")}  # such as those that others wait for
        self._note("purged", [id for id in ids if id not in kept])

    def _chores(self) -> None:
        """By the worker, which does not wait for the disk."""
        self._note("purging", self._doomed(Status.COMPLETED, self._now - 8))
        lanes = self._lanes(self._back)
        self._back.purging.purge(lanes, Status.COMPLETED, self._now - 8, most=5)

    def _lanes(self, repository: SQLiteRepository) -> list[int]:
        """All but those of notices, which are counted in the end."""
        lanes = repository.lanes.matching(None, None)
        return [id for id, lane in lanes.items() if lane.queue != NOTIFY]

    def _doomed(self, status: Status, before: float) -> list[int]:
        if status is Status.PENDING:
            where = """id IN (SELECT declaration FROM pending UNION
                SELECT declaration FROM blocked) AND due_at < ?"""
            return self._ids(where, before)
        code = 1 if status is Status.COMPLETED else 2
        return self._ids(f"status = {code} AND finished_at < ?", before)

    def _ids(self, where: str, *given: float) -> list[int]:
        query = f"SELECT id FROM declaration WHERE {where}"
        return [id for (id,) in self._front.database.execute(query, given)]

    def _shorten(self) -> None:
        self._back.database.shorten_log()

    def _reopen(self) -> None:
        """All leave in good order: the last to close moves the log into the file."""
        os.close(self._lock)
        self._claimed.clear()
        self._front.close()
        self._back.close()
        self._open()


def main(root: str, seed: str, steps: str, synchronous: str) -> None:
    """One life."""
    Life(root, int(seed), synchronous).live(int(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
