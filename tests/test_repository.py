"""The repository against a plain model of it, verb by verb, and the door for plain SQL."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from prokerja.errors import NotFound, ProkerjaError, RequestError, StoreError
from prokerja.lifecycle import DAY, MAX_CRASHES, MAX_RELEASES, TRANSITIONS
from prokerja.model import Claimed, Declaration, Detail, Lane, Status, Taking
from prokerja.report import detail_json, record_json
from prokerja.repository.sqlite import history
from prokerja.repository.sqlite.claims import TURNS
from prokerja.repository.sqlite.declarations import CHUNK_ROWS, SLICE_ROWS
from prokerja.repository.sqlite.outcomes import DIED
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.spec import Field, JobSpec
from prokerja.times import iso
from prokerja.verdicts import Completed, Failed, Released

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from prokerja.model import FailedAttempt, Record
    from prokerja.verdicts import Settlement

PENDING, PROCESSING, COMPLETED, FAILED = Status
START = 1_900_000_000.0
"""When most tests begin."""
QUEUES = ("default", "mail", "ötå")
NAMES = ("noop", "send")
DIRECTORIES = ("", "/a", "/b")
LANES = [
    Lane(*parts, directory)
    for directory in DIRECTORIES
    for parts in itertools.product(QUEUES, NAMES, (-5, 0, 7))
]


def asked(
    lane: Lane = LANES[1],
    *,
    due_at: float = 0.0,
    payload: str = "{}",
    retries: int = 0,
    retry_after: float = 10.0,
    timeout: float | None = None,
) -> Declaration:
    """A request as it goes into the store."""
    return Declaration(lane, payload, due_at, retries, retry_after, timeout)


# The state machine: what the store should hold, in plain Python, beside the store.


@dataclass
class Model:
    """One declaration as it should stand in the store."""

    lane: Lane
    due_at: float
    payload: str
    retries: int
    retry_after: float
    timeout: float | None
    status: Status = PENDING
    token: int | None = None
    running: float | None = None
    attempt: int = 0
    forgiven: int = 0
    returns: int = 0
    result: str | None = None
    finished_at: float | None = None
    wrong: list[tuple[int, bool]] = field(default_factory=list)
    """Of the attempts that went wrong: the number, and whether the worker died."""

    @property
    def crashes(self) -> int:
        return sum(crashed for number, crashed in self.wrong if number > self.forgiven)


class TurnedBackError(Exception):
    """Descriptors a transaction in the middle."""


class Machine(RuleBasedStateMachine):
    """Several workers and two connections on one file, in any order of events."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.repositories = [SQLiteRepository(str(path)) for _ in range(2)]
        for repository in self.repositories:
            repository.database.durable(False)  # no test here cuts the power
        self.current = self.repositories[0]
        self.door = sqlite3.connect(path, isolation_level=None)
        self.door.execute("PRAGMA synchronous = OFF")
        self.now = START
        self.jobs: dict[int, Model] = {}
        self.claims: dict[int, list[int]] = {}
        self.newest = 0
        self.turns = itertools.count(1)
        self.worker = 1
        self.old: list[tuple[int, int, int]] = []
        """Token, id and lane of what was once claimed."""
        self.before: dict[int, Status] = {}
        self.lanes: dict[Lane, int] = {}

    def teardown(self) -> None:
        self.door.close()
        for repository in self.repositories:
            repository.close()

    # Rules.

    @rule(
        lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=5),
        delays=st.lists(st.sampled_from([0.0, 0.0, 5.0, 60.0, -30.0]), min_size=5, max_size=5),
        retries=st.integers(0, 2),
        retry_after=st.sampled_from([0.0, 1.0, 100_000.0]),
    )
    def declare(
        self, lanes: list[Lane], delays: list[float], retries: int, retry_after: float
    ) -> None:
        requests = [
            asked(
                lane,
                due_at=self.now + delay,
                payload=json.dumps({"n": self.newest + n}),
                retries=retries,
                retry_after=retry_after,
                timeout=n or None,
            )
            for n, (lane, delay) in enumerate(zip(lanes, delays, strict=False))
        ]
        if len(requests) == 1:
            id = self.current.declarations.add_one(requests[0], self.now)
            self.expect(range(id, id + 1), requests)
        else:
            self.expect(self.current.declarations.add(requests, self.now), requests)

    @rule(lane=st.sampled_from(LANES), delay=st.sampled_from([0.0, 5.0]))
    def declare_through_the_door(self, lane: Lane, delay: float) -> None:
        request = asked(lane, due_at=self.now + delay, retries=1, retry_after=2.0, timeout=3.0)
        self.door.execute(
            "INSERT INTO declare"
            " (job, queue, priority, jobs, due_at, retries, retry_after, timeout)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (lane.name, lane.queue, lane.priority, lane.directory, *request[2:]),
        )
        [[id]] = self.rows("SELECT max(id) FROM declaration")
        self.expect(range(id, id + 1), [request])

    @rule(
        room=st.integers(0, 6),
        queues=st.permutations(QUEUES).flatmap(
            lambda order: st.integers(0, len(order)).map(lambda n: order[:n])
        ),
        names=st.sampled_from([None, {"noop"}, {"noop", "send"}, set()]),
        directories=st.sampled_from([None, (), ("/a",), ("/b", "/a")]),
    )
    def take(
        self,
        room: int,
        queues: list[str],
        names: set[str] | None,
        directories: tuple[str, ...] | None,
    ) -> None:
        due = [
            (queues.index(job.lane.queue) if queues else 0, -job.lane.priority, job.due_at, id)
            for id, job in self.jobs.items()
            if job.status is PENDING
            and job.due_at <= self.now
            and (not queues or job.lane.queue in queues)
            and (names is None or job.lane.name in names)
            and (directories is None or job.lane.directory in ("", *directories))
        ]
        ids = [id for *_, id in sorted(due)][:room]
        token = self.worker * TURNS + next(self.turns)
        claimed = take(self.current, token, self.now, room, queues, names, directories)
        assert [(c.id, c.lane, c.payload, c.attempt, c.timeout) for c in claimed] == [
            (id, self.lanes[job.lane], job.payload, job.attempt + 1, job.timeout)
            for id, job in ((id, self.jobs[id]) for id in ids)
        ]
        for id in ids:
            self.jobs[id].status, self.jobs[id].token = PROCESSING, token
            self.old.append((token, id, self.lanes[self.jobs[id].lane]))
        if ids:
            self.claims[token] = ids

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        token, ids = self.some(data)
        with self.current.database.writing():
            self.current.claims.started(token, [(id, self.now) for id in ids])
        for id in ids:
            self.jobs[id].running = self.now

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        chance=st.floats(0, 1, exclude_max=True),
        follow_up=st.none() | st.sampled_from(LANES),
        twice=st.booleans(),
    )
    def settle(
        self, data: st.DataObject, chance: float, follow_up: Lane | None, twice: bool
    ) -> None:
        token, ids = self.some(data)
        kinds = [data.draw(st.sampled_from(["completed", "failed", "free", "kept"])) for _ in ids]
        more = () if follow_up is None else (asked(follow_up, due_at=self.now + 5),)
        verdicts: list[Settlement] = []
        for id, kind in zip(ids, kinds, strict=True):
            lane = self.lanes[self.jobs[id].lane]
            if kind == "completed":
                verdicts.append((id, lane, Completed(self.now - 2, self.now, f"[{id}]", more)))
            elif kind == "failed":
                verdicts.append((id, lane, Failed(self.now - 2, self.now, f"E{id}", "at line 1")))
            else:
                verdicts.append((id, lane, Released(counted=kind == "free")))
        with self.current.database.writing():
            given = verdicts * 2 if twice else verdicts
            fates = self.current.claims.settle(token, given, self.now, lambda: chance)
        expected = []
        for id, kind in zip(ids, kinds, strict=True):
            self.leave(token, id)
            if kind == "completed":
                self.complete(id)
                self.expect(range(self.newest + 1, self.newest + 1 + len(more)), more)
            elif kind == "failed":
                expected.append(self.fail(id, chance))
            else:
                self.come_back(id, free=kind == "free")
        assert fates == expected

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def settle_late(self, data: st.DataObject) -> None:
        token, id, lane = data.draw(st.sampled_from(self.old))
        if id in self.claims.get(token, ()):
            token += TURNS * 1000  # a token that nobody holds
        late: list[Settlement] = [
            (id, lane, Completed(self.now, self.now, "1", (asked(),))),
            (id, lane, Failed(self.now, self.now, "late")),
            (id, lane, Released(counted=True)),
            (id, lane, Released(counted=False)),
        ]
        verdict: Settlement = data.draw(st.sampled_from(late))
        before = self.everything()
        with self.current.database.writing():
            assert self.current.claims.settle(token, [verdict], self.now, lambda: 0.5) == []
        assert self.everything() == before

    @rule()
    def worker_dies(self) -> None:
        held = [(token, ids) for token, ids in self.claims.items() if token // TURNS == self.worker]
        with self.current.database.writing():
            count = self.current.claims.put_back(self.worker, self.now)
        assert count == sum(len(ids) for _, ids in held)
        for token, ids in held:
            for id in list(ids):
                started = self.jobs[id].running is not None
                self.leave(token, id)
                if started:
                    self.crash(id)
                else:
                    self.come_back(id, free=True)
        self.worker += 1

    @rule()
    def another_worker_starts(self) -> None:
        self.worker += 1

    @precondition(lambda self: self.of(FAILED))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.of(FAILED)), min_size=1, max_size=4))
        self.current.declarations.retry(ids, self.now)
        for id in set(ids):
            self.refresh(id)

    @precondition(lambda self: self.not_due())
    @rule(data=st.data())
    def make_due(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.not_due()))
        self.current.declarations.retry([id], self.now)
        self.jobs[id].due_at = self.now

    @rule(data=st.data())
    def retry_what_has_not_failed(self, data: st.DataObject) -> None:
        missing = [self.newest + 1, 0, -1]
        fit = {*self.of(FAILED), *self.not_due()}
        bad = data.draw(st.sampled_from([*missing, *set(self.jobs) - fit]))
        ids = [*self.of(FAILED), bad]
        before = self.everything()
        with pytest.raises(NotFound if bad in missing else RequestError, match=rf"job {bad}\b"):
            self.current.declarations.retry(ids, self.now)
        assert self.everything() == before

    @rule(lanes=st.lists(st.sampled_from(LANES), unique=True, max_size=6))
    def retry_failed(self, lanes: list[Lane]) -> None:
        ids = [id for id in self.of(FAILED) if self.jobs[id].lane in lanes]
        known = [self.lanes[lane] for lane in lanes if lane in self.lanes]
        assert self.current.declarations.retry_failed(known, self.now) == len(ids)
        for id in ids:
            self.refresh(id)

    @rule(
        status=st.sampled_from([PENDING, COMPLETED, FAILED]),
        age=st.sampled_from([-1e9, -1.0, 0.0, 20.0]),
        most=st.none() | st.integers(0, 4),
    )
    def purge(self, status: Status, age: float, most: int | None) -> None:
        before = self.now - age
        gone = [
            (self.lanes[job.lane], job.due_at if status is PENDING else job.finished_at or 0.0, id)
            for id, job in self.jobs.items()
            if job.status is status
            and (job.due_at if status is PENDING else job.finished_at or 0.0) < before
        ]
        count = len(gone) if most is None else min(most, len(gone))
        lanes = sorted(self.lanes.values())
        assert self.current.declarations.purge(lanes, status, before, most) == count
        left = {id for (id,) in self.rows("SELECT id FROM declaration")}
        went = [entry for entry in gone if entry[2] not in left]
        assert len(went) == count
        oldest = sorted(entry[:2] for entry in gone)[:count]
        assert sorted(entry[:2] for entry in went) == oldest, "the oldest of a lane go first"
        for *_, id in went:
            del self.jobs[id]
            del self.before[id]

    @rule(seconds=st.sampled_from([0.5, 5.0, 60.0, 2 * DAY]))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def use_the_other_connection(self) -> None:
        self.current = self.repositories[self.current is self.repositories[0]]

    @rule(lane=st.sampled_from(LANES), known=st.booleans())
    def turn_is_rolled_back(self, lane: Lane, known: bool) -> None:
        """All verbs of a turn, and then an error: nothing has happened, and nothing is kept."""
        new = lane if known else Lane("new", lane.name, lane.priority)
        before = self.everything()
        repository, token = self.current, self.worker * TURNS
        with pytest.raises(TurnedBackError):
            self.turn_back(repository, new, token)
        assert self.everything() == before

    def turn_back(self, repository: SQLiteRepository, lane: Lane, token: int) -> None:
        with repository.database.writing():
            repository.declarations.insert([asked(lane)], self.now)
            taken = turn(repository, token, self.now)
            repository.claims.started(token, [(claimed.id, self.now) for claimed in taken])
            verdicts = [(c.id, c.lane, Failed(self.now, self.now, "E")) for c in taken[::2]]
            repository.claims.settle(token, verdicts, self.now, lambda: 0.5)
            raise TurnedBackError

    # What each verb should do.

    def expect(self, ids: range, requests: Sequence[Declaration]) -> None:
        assert list(ids) == list(range(self.newest + 1, self.newest + 1 + len(requests)))
        for id, request in zip(ids, requests, strict=True):
            due_at = max(request.due_at, self.now)
            self.jobs[id] = Model(
                request.lane,
                due_at,
                request.payload,
                request.retries,
                request.retry_after,
                request.timeout,
            )
            self.newest = id
        self.lanes = {
            Lane(*lane): id
            for id, *lane in self.rows("SELECT id, queue, name, priority, directory FROM lane")
        }

    def complete(self, id: int) -> None:
        job = self.jobs[id]
        job.status, job.result, job.finished_at = COMPLETED, f"[{id}]", self.now
        job.attempt += 1

    def fail(self, id: int, chance: float) -> FailedAttempt:
        from prokerja.model import FailedAttempt

        job = self.jobs[id]
        job.attempt += 1
        job.wrong.append((job.attempt, False))
        spent = job.attempt - job.forgiven
        if spent > job.retries:
            job.status, job.finished_at = FAILED, self.now
            return FailedAttempt(id, self.lanes[job.lane], job.attempt, f"E{id}", None)
        exact = min(job.retry_after * 2 ** (spent - 1), DAY)
        [[due_at]] = self.rows(f"SELECT due_at FROM declaration WHERE id = {id}")
        assert due_at == pytest.approx(self.now + exact * (0.9 + chance / 5), abs=1e-3)
        job.status, job.due_at = PENDING, due_at
        return FailedAttempt(id, self.lanes[job.lane], job.attempt, f"E{id}", due_at)

    def crash(self, id: int) -> None:
        job = self.jobs[id]
        job.attempt += 1
        job.wrong.append((job.attempt, True))
        if job.crashes <= 5:
            job.status, job.due_at = PENDING, self.now
        else:
            job.status, job.finished_at = FAILED, self.now

    def come_back(self, id: int, *, free: bool) -> None:
        job = self.jobs[id]
        if free and job.returns == 20:
            job.attempt += 1
            job.wrong.append((job.attempt, False))
            job.status, job.finished_at = FAILED, self.now
        else:
            job.status = PENDING
            job.returns += free

    def refresh(self, id: int) -> None:
        job = self.jobs[id]
        job.status, job.due_at, job.finished_at = PENDING, self.now, None
        job.forgiven, job.returns = job.attempt, 0

    def leave(self, token: int, id: int) -> None:
        self.claims[token].remove(id)
        if not self.claims[token]:
            del self.claims[token]
        self.jobs[id].token = self.jobs[id].running = None

    # What must hold after each step.

    @invariant()
    def only_changes_of_the_table_happen(self) -> None:
        for id, job in self.jobs.items():
            last = self.before.get(id)
            if last is None:
                assert job.status is PENDING
            elif last is not job.status:
                assert (last, job.status) in TRANSITIONS
            self.before[id] = job.status
        for id, last in self.before.items():
            assert id in self.jobs or last is not PROCESSING

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        stored = {row[0]: row[1:] for row in self.rows(STORED)}
        codes = {PENDING: 0, PROCESSING: 0, COMPLETED: 1, FAILED: 2}
        assert stored == {
            id: (
                *job.lane, codes[job.status], job.due_at, job.payload, job.retries,
                job.retry_after, job.timeout, job.attempt, job.forgiven, job.returns,
                job.finished_at, job.result,
            )
            for id, job in self.jobs.items()
        }  # fmt: skip

    @invariant()
    def every_open_declaration_stands_in_exactly_one_place(self) -> None:
        pending = self.rows("SELECT declaration, lane, due_at FROM pending")
        assert len(pending) == len({id for id, *_ in pending})
        assert set(pending) == {
            (id, self.lanes[self.jobs[id].lane], self.jobs[id].due_at) for id in self.of(PENDING)
        }
        claims = self.rows("SELECT token, worker, declarations FROM claim")
        assert {token: json.loads(ids) for token, _, ids in claims} == self.claims
        assert all(worker == token // TURNS for token, worker, _ in claims)
        claimed = [id for ids in self.claims.values() for id in ids]
        assert sorted(claimed) == sorted(self.of(PROCESSING))

    @invariant()
    def what_runs_is_what_was_started_and_is_held(self) -> None:
        assert set(self.rows("SELECT declaration, token, started_at FROM running")) == {
            (id, job.token, job.running) for id, job in self.jobs.items() if job.running is not None
        }

    @invariant()
    def the_tally_is_the_number_of_rows(self) -> None:
        counts = Counter((job.lane, job.status) for job in self.jobs.values())
        for id, *lane, pending, processing, completed, failed, home in self.rows(
            "SELECT * FROM lane"
        ):
            queue, name, priority = lane
            key = Lane(queue, name, priority, home)
            assert self.lanes[key] == id
            assert [pending, processing, completed, failed] == [counts[key, s] for s in Status]

    @invariant()
    def attempts_are_numbered_without_gaps_and_bounded(self) -> None:
        wrong: dict[int, list[tuple[int, bool]]] = {id: [] for id in self.jobs}
        for id, number, crashed in self.rows(
            "SELECT declaration, number, crashed FROM attempt ORDER BY number"
        ):
            wrong[id].append((number, bool(crashed)))
        for id, job in self.jobs.items():
            assert wrong[id] == job.wrong
            good = [job.attempt] if job.status is COMPLETED else []
            assert [n for n, _ in wrong[id]] + good == list(range(1, job.attempt + 1))
            assert job.returns <= MAX_RELEASES
            assert job.crashes <= MAX_CRASHES + (job.status is FAILED)

    @invariant()
    def lists_and_counts_agree_with_the_model(self) -> None:
        for status in Status:
            records = self.current.history.newest(status, None, None, 10_000)
            assert {record.id for record in records} == set(self.of(status))
        for tally in self.current.lanes.tallies():
            assert tally.counts() == {
                status.value: sum(
                    job.lane.queue == tally.queue and job.status is status
                    for job in self.jobs.values()
                )
                for status in Status
            }

    # Helpers.

    def rows(self, query: str) -> list[Any]:
        return self.repositories[0].database.execute(query).fetchall()

    def everything(self) -> list[Any]:
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [(table, self.rows(f"SELECT * FROM {table}")) for (table,) in tables]

    def not_due(self) -> list[int]:
        return [id for id in self.of(PENDING) if self.jobs[id].due_at > self.now]

    def of(self, status: Status) -> list[int]:
        return [id for id, job in self.jobs.items() if job.status is status]

    def some(self, data: st.DataObject) -> tuple[int, list[int]]:
        """Some of what one claim holds."""
        token = data.draw(st.sampled_from(sorted(self.claims)))
        ids = data.draw(st.lists(st.sampled_from(self.claims[token]), min_size=1, unique=True))
        return token, ids


STORED = """
    SELECT d.id, queue, name, priority, directory, status, due_at, payload, retries, retry_after,
        timeout, attempt, forgiven, returns, finished_at, result
    FROM declaration AS d JOIN lane ON lane.id = d.lane"""


def turn(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    queues: Sequence[str] = (),
    names: set[str] | None = None,
    directories: Sequence[str] | None = None,
) -> list[Claimed]:
    """One turn of a worker that has room for so many."""
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(itertools.islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room

    ranks = repository.lanes.waiting(Taking(tuple(queues), names, directories))
    repository.claims.take(token, ranks, now, choose)
    return taken


def take(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    queues: Sequence[str] = (),
    names: set[str] | None = None,
    directories: Sequence[str] | None = None,
) -> list[Claimed]:
    """The same, in a transaction of its own."""
    with repository.database.writing():
        return turn(repository, token, now, room, queues, names, directories)


def test_no_order_of_events_makes_the_store_and_a_plain_model_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "EXACT_ROWS", 3)  # so that lists go beyond it
    template = tmp_path / "template"
    repository = SQLiteRepository(str(template))
    specs = [NOOP._replace(name=name) for name in NAMES]
    for directory in DIRECTORIES:
        repository.catalog.record(directory, {}, (), specs)
    repository.close()
    numbers = itertools.count()

    def machine() -> Machine:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(template, path)
        return Machine(path)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(max_examples=50, stateful_step_count=40, deadline=None),
    )


# Verb by verb.


class Store:
    """A repository with short words for what most tests do; its clock stands still."""

    def __init__(self, path: str) -> None:
        self.repository = SQLiteRepository(path)
        self.now = START
        self.turns = itertools.count(TURNS + 1)

    def declare(self, *requests: Declaration) -> list[int]:
        declarations = self.repository.declarations
        if len(requests) > 1:
            return list(declarations.add(requests, self.now))
        return [declarations.add_one(requests[0] if requests else asked(), self.now)]

    def take(self, room: int = 1000, *queues: str) -> dict[int, tuple[int, int]]:
        """Claim; returns the token and the lane by id."""
        token = next(self.turns)
        taken = take(self.repository, token, self.now, room, queues)
        return {claimed.id: (token, claimed.lane) for claimed in taken}

    def settle(self, token: int, *verdicts: Settlement) -> list[FailedAttempt]:
        with self.repository.database.writing():
            return self.repository.claims.settle(token, verdicts, self.now, lambda: 0.5)

    def complete(self, *ids: int, result: str | None = None) -> None:
        """Take everything that is due, complete these, and give the rest back."""
        for id, (token, lane) in self.take().items():
            if id in ids:
                self.settle(token, (id, lane, Completed(self.now - 1, self.now, result)))
            else:
                self.settle(token, (id, lane, Released(counted=False)))

    def fail(self, *ids: int, error: str = "ValueError: no") -> list[tuple[int, int, float | None]]:
        """Take everything that is due, fail these, and give the rest back.

        Returns each one's id, the number of the attempt, and when it is due again.
        """
        failed_attempts = []
        for id, (token, lane) in self.take().items():
            if id in ids:
                failed = (id, lane, Failed(self.now - 1, self.now, error, "in handle()"))
                failed_attempts += self.settle(token, failed)
            else:
                self.settle(token, (id, lane, Released(counted=False)))
        return [(one.id, one.number, one.retry_at) for one in failed_attempts]

    def begin(self, token: int, *ids: int) -> None:
        with self.repository.database.writing():
            self.repository.claims.started(token, [(id, self.now) for id in ids])

    def recover(self, worker: int = 1) -> int:
        with self.repository.database.writing():
            return self.repository.claims.put_back(worker, self.now)

    def one(self, id: int) -> Record:
        record = self.repository.history.one(id)
        assert record is not None
        return record

    def newest(
        self,
        status: Status | None = None,
        queue: str | None = None,
        name: str | None = None,
        limit: int = 100,
    ) -> list[int]:
        return [r.id for r in self.repository.history.newest(status, queue, name, limit)]

    def rows(self, query: str) -> list[Any]:
        return self.repository.database.execute(query).fetchall()

    def everything(self) -> list[str]:
        """All there is in the file."""
        return list(self.repository.database.connection.iterdump())

    def lanes(self) -> list[int]:
        return list(self.repository.lanes.matching(None, None))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "q.db"))
    store.repository.database.durable(False)
    yield store
    store.repository.close()


def test_a_declaration_is_stored_as_it_was_asked_for(store: Store) -> None:
    lane = Lane("mail", "send", 7)
    payload = '{"to":"\\u00e5\\ud800"}'
    [id] = store.declare(
        asked(lane, due_at=START + 60, payload=payload, retries=3, retry_after=1.5, timeout=2.5)
    )
    record = store.one(id)
    assert record[:5] == (1, lane, PENDING, START, START + 60)
    assert (record.retries, record.retry_after, record.timeout) == (3, 1.5, 2.5)
    assert record.payload == payload
    assert (record.attempts, record.started_at, record.finished_at) == (0, None, None)


def test_what_was_due_in_the_past_is_due_now(store: Store) -> None:
    [id] = store.declare(asked(due_at=START - 3600))
    assert store.one(id).due_at == START


def test_declaring_nothing_gives_no_ids_and_changes_nothing(store: Store) -> None:
    before = store.everything()
    assert list(store.repository.declarations.add([], store.now)) == []
    assert store.everything() == before


def test_a_bulk_larger_than_a_chunk_gets_ids_in_order(store: Store) -> None:
    count = CHUNK_ROWS + 7
    requests = (asked(LANES[n % 3], payload=f'{{"n":{n}}}') for n in range(count))
    assert store.repository.declarations.add(requests, store.now) == range(1, count + 1)
    assert store.rows("SELECT min(id - json_extract(payload, '$.n')), count(*) FROM declaration")
    wrong = store.rows(
        "SELECT count(*) FROM declaration WHERE json_extract(payload, '$.n') <> id - 1"
    )
    assert wrong == [(0,)]
    [tally] = store.repository.lanes.tallies()
    assert tally.pending == count


def test_a_bulk_whose_source_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    def requests() -> Iterator[Declaration]:
        yield from itertools.repeat(asked(Lane("new", "new", 1)), CHUNK_ROWS + 1)
        raise ValueError("the file ended")

    before = store.everything()
    with pytest.raises(ValueError, match="the file ended"):
        store.repository.declarations.add(requests(), store.now)
    assert store.everything() == before
    assert store.declare(asked(Lane("new", "new", 1))) == [1]


@pytest.mark.parametrize("count", [1, 5 * CHUNK_ROWS])
def test_a_bulk_whose_source_declares_bulks_by_itself_comes_after_them(
    store: Store, count: int
) -> None:
    def requests() -> Iterator[Declaration]:
        for n in range(count):
            yield asked(payload=f'{{"n":{n}}}')
            if n % CHUNK_ROWS == 0:
                store.repository.declarations.add(
                    [asked(LANES[1])] * (2 * CHUNK_ROWS + 1), store.now
                )

    ids = store.repository.declarations.add(requests(), store.now)
    inner = -(-count // CHUNK_ROWS) * (2 * CHUNK_ROWS + 1)
    assert ids == range(inner + 1, inner + count + 1)
    query = (
        "SELECT count(*) FROM declaration WHERE id > ? AND json_extract(payload, '$.n') = id - ?"
    )
    found = store.repository.database.execute(query, (inner, inner + 1)).fetchone()
    assert found == (count,)
    assert store.rows("SELECT name FROM sqlite_temp_schema") == []


@pytest.mark.parametrize(
    "request_",
    [
        asked(retries=-1),
        asked(retries=1001),
        asked(retry_after=-1.0),
        asked(timeout=0.0),
        asked(timeout=-1.0),
        asked(Lane("", "noop", 0)),
        asked(Lane("q" * 256, "noop", 0)),
        asked(Lane("default", "", 0)),
        asked(Lane("default", "noop", 1001)),
    ],
)
def test_what_slipped_through_every_check_is_refused_by_the_store(
    store: Store, request_: Declaration
) -> None:
    before = store.everything()
    with pytest.raises((ProkerjaError, TypeError)):
        store.declare(asked(), request_)
    assert store.everything() == before


def test_an_id_is_not_used_again_when_the_newest_is_purged(store: Store) -> None:
    assert store.declare(asked(), asked()) == [1, 2]
    store.complete(1, 2)
    assert store.repository.declarations.purge(store.lanes(), COMPLETED, START + 1) == 2
    assert store.declare() == [3]


def test_an_id_is_not_used_again_after_the_file_was_closed(store: Store, tmp_path: Path) -> None:
    store.declare(asked(), asked())
    store.repository.declarations.purge(store.lanes(), PENDING, float("inf"))
    store.repository.close()
    store.repository = SQLiteRepository(str(tmp_path / "q.db"))
    assert store.declare() == [3]


def test_jobs_are_claimed_by_queue_then_priority_then_due_time_then_id(store: Store) -> None:
    late_low, early_low, high, mail, same = store.declare(
        asked(Lane("default", "noop", 0), due_at=START + 2),
        asked(Lane("default", "send", 0), due_at=START + 1),
        asked(Lane("default", "noop", 7), due_at=START + 3),
        asked(Lane("mail", "noop", -5), due_at=START + 4),
        asked(Lane("default", "noop", 0), due_at=START + 2),
    )
    store.now = START + 4
    assert list(store.take(5, "mail", "default")) == [mail, high, early_low, late_low, same]


def test_without_named_queues_only_priority_and_due_time_count(store: Store) -> None:
    a, b, c = store.declare(
        asked(Lane("z", "noop", 0)), asked(Lane("a", "noop", 0)), asked(Lane("m", "noop", 1))
    )
    assert list(store.take()) == [c, a, b]


def test_what_is_not_due_yet_is_not_claimed_however_high_its_priority(store: Store) -> None:
    later, now = store.declare(asked(Lane("default", "noop", 1000), due_at=START + 0.001), asked())
    assert list(store.take()) == [now]
    store.now += 0.001
    assert list(store.take()) == [later]


def test_a_worker_takes_only_jobs_that_it_knows(store: Store) -> None:
    store.declare(asked(Lane("default", "noop", 0)), asked(Lane("default", "send", 0)))
    assert [c.id for c in take(store.repository, TURNS, START, names={"send"})] == [2]
    assert take(store.repository, TURNS + 1, START, names=set()) == []


def test_a_worker_takes_no_more_than_it_has_room_for(store: Store) -> None:
    ids = store.declare(*[asked(lane) for lane in LANES[:6]])
    assert len(store.take(4)) == 4
    assert len(store.take(0)) == 0
    assert store.rows("SELECT count(*) FROM claim") == [(1,)]
    assert len(store.take(4)) == len(ids) - 4


def test_once_a_worker_leaves_a_job_it_is_offered_nothing_that_ranks_lower(store: Store) -> None:
    high, other, _low = store.declare(asked(LANES[2]), asked(LANES[2]), asked(LANES[1]))
    offers: list[int] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        first = next(offered)
        offers.append(first.id)
        return [first], True

    with store.repository.database.writing():
        ranks = store.repository.lanes.waiting(Taking())
        store.repository.claims.take(TURNS, ranks, START, choose)
    assert offers == [high]
    assert list(store.take(1)) == [other]


def test_a_turn_that_fails_while_it_claims_leaves_nothing_to_the_next(store: Store) -> None:
    store.declare(asked(LANES[2]), asked(LANES[1]))
    ranks = store.repository.lanes.waiting(Taking())
    calls = itertools.count()

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        if next(calls):
            raise TurnedBackError
        return list(offered), False

    before = store.everything()
    with pytest.raises(TurnedBackError), store.repository.database.writing():
        store.repository.claims.take(TURNS, ranks, START, choose)
    assert store.everything() == before
    assert len(store.take()) == 2
    [tally] = store.repository.lanes.tallies()
    assert tally.counts() == {"pending": 0, "processing": 2, "completed": 0, "failed": 0}


def test_a_turn_that_fails_while_it_settles_leaves_nothing_to_the_next(store: Store) -> None:
    good, bad = store.declare(asked(), asked())
    taken = store.take()
    token, lane = taken[good]
    unfit = asked(Lane("new", "new", 1), retries=-1)
    verdicts = [
        (good, lane, Completed(START, START, None)),
        (bad, lane, Completed(START, START, None, (unfit,))),
    ]
    before = store.everything()
    with pytest.raises(StoreError):
        store.settle(token, *verdicts)
    assert store.everything() == before
    store.settle(token, verdicts[0], (bad, lane, Released(counted=False)))
    [tally] = store.repository.lanes.tallies()
    assert tally.counts() == {"pending": 1, "processing": 0, "completed": 1, "failed": 0}


def test_a_job_is_never_claimed_twice(store: Store) -> None:
    store.declare(asked(), asked())
    assert len(store.take()) == 2
    assert store.take() == {}


def test_when_the_next_job_is_due_is_known(store: Store) -> None:
    def next_due(*names: str) -> float | None:
        ranks = store.repository.lanes.waiting(Taking((), set(names)))
        return store.repository.lanes.next_due(itertools.chain(*ranks))

    assert next_due("noop") is None
    store.declare(
        asked(Lane("default", "noop", 0), due_at=START + 9),
        asked(Lane("mail", "noop", 0), due_at=START + 5),
        asked(Lane("mail", "send", 0), due_at=START + 1),
    )
    assert next_due("noop") == START + 5
    assert next_due("noop", "send") == START + 1


def test_a_completed_job_keeps_its_result_and_times(store: Store) -> None:
    [id] = store.declare()
    store.complete(id, result='{"n":1}')
    record = store.one(id)
    assert (record.status, record.attempts, record.result) == (COMPLETED, 1, '{"n":1}')
    assert (record.started_at, record.finished_at) == (START - 1, START)
    [attempt] = store.repository.history.attempts(record)
    assert (attempt.number, attempt.error, attempt.finished_at) == (1, None, START)


def test_a_failed_job_is_due_again_after_its_backoff_and_fails_for_good_at_last(
    store: Store,
) -> None:
    [id] = store.declare(asked(retries=2, retry_after=10))
    assert store.fail(id) == [(id, 1, START + 10)]
    assert store.one(id).status is PENDING
    assert store.take() == {}
    store.now += 10
    assert store.fail(id) == [(id, 2, START + 30)]
    store.now += 20
    assert store.fail(id, error="KeyError: last") == [(id, 3, None)]
    record = store.one(id)
    assert (record.status, record.attempts, record.error) == (FAILED, 3, "KeyError: last")
    attempts = store.repository.history.attempts(record)
    assert [(a.number, a.worker, a.error, a.traceback) for a in attempts] == [
        (1, 1, "ValueError: no", "in handle()"),
        (2, 1, "ValueError: no", "in handle()"),
        (3, 1, "KeyError: last", "in handle()"),
    ]


def test_a_job_that_succeeds_in_the_end_keeps_its_earlier_errors(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=0))
    store.fail(id)
    store.complete(id)
    record = store.one(id)
    attempts = store.repository.history.attempts(record)
    assert [(a.number, a.error) for a in attempts] == [(1, "ValueError: no"), (2, None)]


def test_jobs_declared_by_a_job_exist_if_it_completed_and_only_then(store: Store) -> None:
    good, bad = store.declare(asked(), asked())
    taken = store.take()
    token, lane = taken[good]
    more = (asked(Lane("mail", "send", 0)), asked(Lane("mail", "send", 0), due_at=START + 9))
    store.settle(
        token,
        (good, lane, Completed(START, START, None, more)),
        (bad, lane, Failed(START, START, "no")),
        (bad, lane, Completed(START, START, None, more)),
    )
    assert store.newest(None, "mail") == [4, 3]
    assert store.one(4).due_at == START + 9


def test_a_settle_with_an_old_token_changes_nothing(store: Store) -> None:
    [id] = store.declare()
    [(old, lane)] = store.take().values()
    store.recover()
    [(new, _)] = store.take().values()
    before = store.everything()
    late = (id, lane, Completed(START, START, '"late"', (asked(),)))
    assert store.settle(old, late) == []
    assert store.settle(old, (id, lane, Failed(START, START, "late"))) == []
    assert store.settle(old, (id, lane, Released(counted=True))) == []
    assert store.everything() == before
    store.settle(new, (id, lane, Completed(START, START, '"in time"')))
    assert store.one(id).result == '"in time"'


def test_the_second_of_two_verdicts_on_one_attempt_changes_nothing(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    failed = (id, lane, Failed(START, START, "no"))
    assert store.settle(token, (id, lane, Completed(START, START, "1")), failed) == []
    assert store.settle(token, failed) == []
    assert (store.one(id).status, store.one(id).result) == (COMPLETED, "1")


def test_a_note_that_a_job_has_started_changes_nothing_once_it_is_settled(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Completed(START - 2, START, None)))
    store.now += 50
    store.begin(token, id)
    assert store.one(id).started_at == START - 2
    assert store.rows("SELECT * FROM running") == []


def test_a_note_with_an_old_token_does_not_make_a_waiting_job_a_running_one(store: Store) -> None:
    [id] = store.declare()
    [(old, _)] = store.take().values()
    store.recover(1)
    token = 2 * TURNS
    assert len(take(store.repository, token, START)) == 1
    store.begin(token, id)
    store.begin(old, id)
    assert store.recover(2) == 1
    assert store.one(id).attempts == 1, "it was running in worker 2, and that has died"


def test_started_jobs_are_shown_with_the_moment_they_began(store: Store) -> None:
    first, second = store.declare(asked(), asked())
    token = store.take()[first][0]
    store.begin(token, second)
    assert store.one(first).started_at is None
    assert store.one(second).started_at == START
    assert {store.one(first).status, store.one(second).status} == {PROCESSING}


def test_a_dead_workers_jobs_come_back_at_once_and_only_running_ones_used_an_attempt(
    store: Store,
) -> None:
    waited, ran = store.declare(asked(), asked(retries=0, retry_after=1000))
    token = store.take()[ran][0]
    store.begin(token, ran)
    store.now += 5
    assert store.recover(2) == 0
    assert store.recover(1) == 2
    assert store.recover(1) == 0
    assert [store.one(id).status for id in (waited, ran)] == [PENDING, PENDING]
    assert [store.one(id).attempts for id in (waited, ran)] == [0, 1]
    assert [store.one(id).returns for id in (waited, ran)] == [1, 0]
    [attempt] = store.repository.history.attempts(store.one(ran))
    assert attempt == (1, 1, START, START + 5, DIED, None)
    assert set(store.take()) == {waited, ran}


def test_recovery_leaves_the_claims_of_the_worker_next_door(store: Store) -> None:
    store.declare(asked(), asked(), asked())
    for worker in (1, 2, 3):
        assert len(take(store.repository, worker * TURNS, START, 1)) == 1
    assert store.recover(2) == 1
    assert store.rows("SELECT worker FROM claim ORDER BY 1") == [(1,), (3,)]


def test_a_job_that_kills_six_workers_is_set_aside(store: Store) -> None:
    [id] = store.declare(asked(retries=0))
    for death in range(1, 7):
        [(token, _)] = store.take().values()
        store.begin(token, id)
        store.recover()
        assert store.one(id).attempts == death
        assert store.one(id).status is (PENDING if death <= 5 else FAILED)
    assert store.one(id).error == DIED
    store.repository.declarations.retry([id], store.now)
    for _ in range(5):
        [(token, _)] = store.take().values()
        store.begin(token, id)
        store.recover()
        assert store.one(id).status is PENDING, "a retry by hand forgives the deaths before it"


def test_a_job_that_comes_back_for_nothing_a_21st_time_has_failed(store: Store) -> None:
    [id] = store.declare(asked(retries=5))
    for returns in range(1, 21):
        [(token, lane)] = store.take().values()
        store.settle(token, (id, lane, Released(counted=True)))
        assert (store.one(id).status, store.one(id).returns) == (PENDING, returns)
        assert store.one(id).attempts == 0
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Released(counted=True)))
    record = store.one(id)
    assert (record.status, record.attempts) == (FAILED, 1)
    assert record.error == "came back 20 times without being run to its end"
    store.repository.declarations.retry([id], store.now)
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Released(counted=True)))
    assert (store.one(id).status, store.one(id).returns) == (PENDING, 1), "a fresh start"


def test_a_job_that_never_left_our_hands_may_come_back_as_often_as_it_likes(store: Store) -> None:
    [id] = store.declare()
    for _ in range(30):
        [(token, lane)] = store.take().values()
        store.settle(token, (id, lane, Released(counted=False)))
    assert (store.one(id).status, store.one(id).returns) == (PENDING, 0)


def test_a_job_that_has_no_free_returns_left_may_still_come_back_unharmed(store: Store) -> None:
    [id] = store.declare()
    for free in [*[True] * 20, False, False]:
        [(token, lane)] = store.take().values()
        store.settle(token, (id, lane, Released(counted=free)))
    assert (store.one(id).status, store.one(id).returns) == (PENDING, 20)


def test_a_job_that_comes_back_keeps_its_place(store: Store) -> None:
    first, second = store.declare(asked(), asked())
    store.now += 100
    token, lane = store.take(1)[first]
    store.settle(token, (first, lane, Released(counted=True)))
    assert list(store.take()) == [first, second]


def test_a_retry_counts_attempts_anew_and_keeps_those_before(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=10))
    store.fail(id)
    store.now += 10
    store.fail(id)
    store.now += 1
    store.repository.declarations.retry([id, id], store.now)
    record = store.one(id)
    assert (record.status, record.due_at, record.attempts) == (PENDING, store.now, 2)
    assert record.finished_at is None
    assert store.fail(id) == [(id, 3, store.now + 10)]
    store.now += 10
    assert store.fail(id) == [(id, 4, None)]
    attempts = store.repository.history.attempts(store.one(id))
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (99, NotFound, "there is no job 99; `prokerja report:jobs` lists them"),
        (0, NotFound, "there is no job 0; "),
        (-1, NotFound, "there is no job -1; "),
        (2, RequestError, "job 2 has not failed; only failed jobs, and pending ones that are not"),
        (3, RequestError, "job 3 has not failed; only failed jobs"),
        (4, RequestError, "job 4 has not failed, and is due already; `prokerja report:job 4` says"),
    ],
)
def test_a_retry_with_one_bad_id_changes_nothing_at_all(
    store: Store, bad: int, kind: type[Exception], message: str
) -> None:
    store.declare(asked(), asked(), asked())
    store.fail(1)
    store.complete(2)
    assert list(store.take()) == [3]
    store.declare(asked())
    before = store.everything()
    with pytest.raises(kind, match=message):
        store.repository.declarations.retry([1, bad], store.now)
    assert store.everything() == before


def test_a_retry_of_a_number_too_large_for_any_id_says_there_is_no_such_job(store: Store) -> None:
    with pytest.raises(ProkerjaError):
        store.repository.declarations.retry([2**63], store.now)


def test_retrying_all_failed_jobs_takes_those_of_the_given_lanes_only(store: Store) -> None:
    mail = Lane("mail", "send", 0)
    one, other, good = store.declare(asked(), asked(mail), asked())
    store.fail(one, other)
    store.complete(good)
    lanes = store.repository.lanes.matching("mail", None)
    assert store.repository.declarations.retry_failed(lanes, store.now) == 1
    assert [store.one(id).status for id in (one, other, good)] == [FAILED, PENDING, COMPLETED]


def test_retrying_all_failed_jobs_works_across_slices(store: Store) -> None:
    count = 2 * SLICE_ROWS + 3
    ids = store.declare(*[asked()] * count)
    taken = store.take(count)
    token, lane = taken[1]
    store.settle(token, *[(id, lane, Failed(START, START, "no")) for id in ids])
    assert store.repository.declarations.retry_failed(store.lanes(), store.now) == count
    [tally] = store.repository.lanes.tallies()
    assert tally.counts() == {"pending": count, "processing": 0, "completed": 0, "failed": 0}


class Meddler(Store):
    """Whenever a transaction has ended, another worker fails at once all that is due."""

    def meddle(self, times: int) -> None:
        self.left = times
        self.other = SQLiteRepository(self.repository.path)
        self.other.database.durable(False)
        self.repository.database.on_commit.append(self.fail_all)

    def fail_all(self) -> None:
        if not self.left:
            return
        self.left -= 1
        self.now += 1
        token = next(self.turns)
        taken = take(self.other, token, self.now, 10_000)
        with self.other.database.writing():
            verdicts = [(c.id, c.lane, Failed(self.now, self.now, "again")) for c in taken]
            self.other.claims.settle(token, verdicts, self.now, lambda: 0.5)


def test_retrying_all_failed_jobs_ends_though_they_fail_again_meanwhile(tmp_path: Path) -> None:
    store = Meddler(str(tmp_path / "q.db"))
    store.repository.database.durable(False)
    count = 2 * SLICE_ROWS + 1
    ids = store.declare(*[asked()] * count)
    token, lane = store.take(count)[1]
    store.settle(token, *[(id, lane, Failed(START, START, "no")) for id in ids])
    store.meddle(10)
    assert store.repository.declarations.retry_failed(store.lanes(), START) == count
    assert store.left == 10 - 3, "three slices, and none of them twice"
    assert {a for (a,) in store.rows("SELECT attempt FROM declaration")} == {2}
    store.other.close()
    store.repository.close()


def test_purging_deletes_what_ended_before_with_all_its_attempts(store: Store) -> None:
    old, new, failed = store.declare(asked(retries=1, retry_after=0), asked(), asked())
    store.fail(old)
    store.complete(old)
    store.fail(failed)
    store.now += 10
    store.complete(new)
    assert store.repository.declarations.purge(store.lanes(), COMPLETED, START + 10) == 1
    assert store.newest() == [failed, new]
    assert store.rows("SELECT declaration FROM attempt") == [(failed,)]
    assert store.repository.declarations.purge(store.lanes(), FAILED, START + 10) == 1
    assert store.newest() == [new]


def test_purging_pending_jobs_goes_by_their_due_time(store: Store) -> None:
    now, later = store.declare(asked(), asked(due_at=START + 60))
    assert store.repository.declarations.purge(store.lanes(), PENDING, START) == 0
    assert store.repository.declarations.purge(store.lanes(), PENDING, START + 1) == 1
    assert store.newest() == [later]
    assert now not in store.take()
    assert store.repository.declarations.purge(store.lanes(), PENDING, float("inf")) == 1
    assert store.rows("SELECT * FROM pending") == []


def test_purging_never_touches_what_a_worker_holds(store: Store) -> None:
    held, given_back = store.declare(asked(), asked())
    [(token, lane), _] = store.take().values()
    store.settle(token, (given_back, lane, Released(counted=True)))
    store.now += 1e6
    for status in (PENDING, COMPLETED, FAILED):
        store.repository.declarations.purge(store.lanes(), status, float("inf"))
    assert store.newest() == [held]
    store.settle(token, (held, lane, Completed(START, START, None)))
    assert store.one(held).status is COMPLETED


def test_purging_processing_jobs_is_refused_by_the_repository_too(store: Store) -> None:
    store.declare()
    store.take()
    before = store.everything()
    with pytest.raises(ValueError, match="cannot be purged"):
        store.repository.purge(PROCESSING, float("inf"))
    assert store.everything() == before


def test_purging_works_across_slices_and_stops_at_the_most(store: Store) -> None:
    count = 2 * SLICE_ROWS + 3
    store.declare(*[asked(LANES[n % 2]) for n in range(count)])
    purge = store.repository.declarations.purge
    assert purge(store.lanes(), PENDING, float("inf"), 0) == 0
    assert purge(store.lanes(), PENDING, float("inf"), 1) == 1
    assert purge(store.lanes(), PENDING, float("inf"), SLICE_ROWS) == SLICE_ROWS
    assert purge(store.lanes(), PENDING, float("inf")) == count - SLICE_ROWS - 1
    assert store.rows("SELECT count(*) FROM declaration") == [(0,)]


def test_purging_in_pieces_takes_the_oldest_first(store: Store) -> None:
    ids = store.declare(asked(), asked(), asked())
    for id in reversed(ids):
        store.complete(id)
        store.now += 1
    assert store.repository.declarations.purge(store.lanes(), COMPLETED, store.now, 1) == 1
    assert store.newest() == [2, 1]


def test_a_queue_that_was_emptied_can_be_used_again_by_a_connection_that_knew_it(
    store: Store,
) -> None:
    other = SQLiteRepository(store.repository.path)
    store.declare()
    other.declarations.purge(other.lanes.matching(None, None), PENDING, float("inf"))
    other.close()
    assert list(store.take()) == []
    [id] = store.declare()
    assert list(store.take()) == [id]


# Lists.


@pytest.fixture
def mixed(store: Store) -> Store:
    """Two of each status on two queues, in an order in which ids tell little.

    Ids 1 to 8 on `default`, 9 to 16 on `mail`, names by turns; of each eight the first two are
    completed (the second one first), the next two failed (likewise), two processing, two pending.
    """
    for queue, first in (("default", 1), ("mail", 9)):
        lanes = [Lane(queue, "noop", 0), Lane(queue, "send", 7)]
        store.declare(*[asked(lane) for lane in lanes * 3])
        store.declare(*[asked(lane, due_at=START + 10_000) for lane in lanes])
        for id in (first + 1, first):
            store.now += 1
            store.complete(id)
        for id in (first + 3, first + 2):
            store.now += 1
            store.fail(id)
        assert sorted(store.take()) == [first + 4, first + 5]
    return store


@pytest.mark.parametrize(
    ("status", "queue", "name", "ids"),
    [
        (COMPLETED, None, None, [10, 9, 2, 1]),
        (FAILED, None, None, [12, 11, 4, 3]),
        (PROCESSING, None, None, [14, 13, 6, 5]),
        (PENDING, None, None, [16, 15, 8, 7]),
        (None, None, None, list(range(16, 0, -1))),
        (COMPLETED, "mail", None, [10, 9]),
        (FAILED, "default", None, [4, 3]),
        (PROCESSING, "mail", None, [14, 13]),
        (PENDING, "default", None, [8, 7]),
        (None, "mail", None, list(range(16, 8, -1))),
        (COMPLETED, None, "noop", [9, 1]),
        (FAILED, None, "send", [12, 4]),
        (PROCESSING, None, "noop", [13, 5]),
        (PENDING, None, "send", [16, 8]),
        (None, None, "send", list(range(16, 0, -2))),
        (COMPLETED, "mail", "send", [10]),
        (FAILED, "mail", "noop", [11]),
        (PROCESSING, "default", "send", [6]),
        (PENDING, "mail", "noop", [15]),
        (None, "default", "noop", [7, 5, 3, 1]),
        (None, "nowhere", None, []),
        (COMPLETED, None, "nothing", []),
    ],
)
def test_the_newest_jobs_are_listed_by_every_filter_in_order_and_up_to_the_limit(
    mixed: Store, status: Status | None, queue: str | None, name: str | None, ids: list[int]
) -> None:
    assert mixed.newest(status, queue, name) == ids
    for limit in range(len(ids) + 1):
        assert mixed.newest(status, queue, name, limit) == ids[:limit]
    records = mixed.repository.history.newest(status, queue, name, 100)
    assert all(status in (None, record.status) for record in records)
    assert all(queue in (None, record.lane.queue) for record in records)
    assert all(name in (None, record.lane.name) for record in records)


def test_the_newest_pending_jobs_are_those_declared_last_not_those_due_last(store: Store) -> None:
    store.declare(asked(due_at=START + 60))
    store.declare(asked())
    assert store.newest(PENDING, limit=1) == [2]


def test_a_filter_that_everything_passes_does_not_change_which_jobs_are_newest(
    store: Store,
) -> None:
    first, second = store.declare(asked(), asked())
    store.complete(second)
    store.now += 1
    store.complete(first)
    assert store.newest(limit=1) == store.newest(queue="default", limit=1) == [second]


def test_beyond_the_window_a_list_goes_on_with_what_ended_or_is_due_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file with more jobs than the window takes long to make; a smaller window does not.
    monkeypatch.setattr(history, "EXACT_ROWS", 2)
    store.declare(*[asked()] * 6)
    for id in (6, 5, 4, 1, 2, 3):
        store.now += 1
        store.complete(id)
    assert store.newest(COMPLETED, limit=2) == [6, 5]
    assert store.newest(COMPLETED, limit=3) == [6, 5, 3]
    assert store.newest(COMPLETED) == store.newest() == [6, 5, 4, 3, 2, 1]
    assert store.newest(None, "default", "noop") == [6, 5, 4, 3, 2, 1]
    store.declare(*[asked(due_at=START + 1000 - n) for n in range(6)])
    assert store.newest(PENDING, limit=2) == [12, 11]
    assert len(store.newest(PENDING, limit=3)) == 3
    assert store.newest(PENDING) == [12, 11, 10, 9, 8, 7]
    assert len(store.newest(FAILED)) == 0


def test_how_many_jobs_come_before_one_counts_only_those_that_do(store: Store) -> None:
    def ahead(id: int) -> int:
        return store.repository.history.ahead(store.one(id), store.now)

    low, low2, high, later_high, mail = store.declare(
        asked(Lane("default", "noop", 0)),
        asked(Lane("default", "send", 0)),
        asked(Lane("default", "noop", 7)),
        asked(Lane("default", "noop", 7), due_at=START + 100),
        asked(Lane("mail", "noop", 0)),
    )
    store.now += 1
    assert ahead(high) == 0
    assert ahead(low) == 1
    assert ahead(low2) == 2
    assert ahead(mail) == 3
    store.now += 100
    assert ahead(low) == 2
    assert ahead(later_high) == 1


def test_jobs_of_a_higher_priority_that_fall_due_this_very_moment_come_before(
    store: Store,
) -> None:
    low, _high = store.declare(asked(Lane("default", "noop", 0)), asked(Lane("default", "noop", 7)))
    order = list(store.take())
    store.recover()
    assert order.index(low) == 1
    assert store.repository.history.ahead(store.one(low), store.now) == 1


def test_how_long_the_first_in_line_has_been_due_is_known_by_queue(store: Store) -> None:
    longest = store.repository.history.longest_waiting
    assert longest(None, store.now) is None
    store.declare(asked(due_at=START + 5), asked(Lane("mail", "noop", 0), due_at=START + 3))
    assert longest(None, START) is None
    assert longest(None, START + 10) == START + 3
    assert longest("default", START + 10) == START + 5
    assert longest("nowhere", START + 10) is None


def test_a_job_that_is_not_there_has_no_record(store: Store) -> None:
    assert store.repository.history.one(1) is None


# The catalog.

NOOP = JobSpec("noop", "default", 0, 0, 10.0, None, (), False, "/jobs/noop.py", "Does nothing.")
SEND = JobSpec(
    name="send",
    queue="mail",
    priority=7,
    retries=3,
    retry_after=60.5,
    timeout=120.0,
    fields=(
        Field("to", "str", {"type": "string"}, True, None, ""),
        Field("n", "int", {"type": "integer"}, False, 1, "1"),
    ),
    open=False,
    file="/jobs/send.py",
    doc="",
)
LOOSE = NOOP._replace(name="loose", open=True, file="/jobs/loose.py")


def record(
    store: Store, *specs: JobSpec, gone: Iterable[str] = (), directory: str = "/jobs"
) -> None:
    stamps = {spec.file: "1" for spec in specs}
    store.repository.catalog.record(directory, stamps, gone, specs)


def known(store: Store, name: str, directory: str = "/jobs") -> JobSpec | None:
    return store.repository.known(name).get(directory)


def test_specs_are_read_back_as_they_were_recorded(store: Store) -> None:
    record(store, SEND, NOOP)
    assert known(store, "send") == SEND
    assert known(store, "noop") == NOOP
    assert known(store, "nothing") is None
    assert store.repository.catalog.names("/jobs") == ["noop", "send"]


def test_a_file_that_is_read_again_forgets_the_jobs_it_held_before(store: Store) -> None:
    record(store, SEND, NOOP)
    other = NOOP._replace(name="other")
    store.repository.catalog.record("/jobs", {NOOP.file: "2"}, (), [other])
    assert store.repository.catalog.names("/jobs") == ["other", "send"]
    assert store.repository.catalog.stamps("/jobs") == {NOOP.file: "2", SEND.file: "1"}


def test_a_file_that_is_gone_is_forgotten_with_its_jobs(store: Store) -> None:
    record(store, SEND, NOOP)
    store.repository.catalog.record("/jobs", {}, [SEND.file], ())
    assert store.repository.catalog.names("/jobs") == ["noop"]
    assert store.repository.catalog.stamps("/jobs") == {NOOP.file: "1"}


def test_of_two_files_with_one_job_the_first_counts_and_the_other_stays_known(
    store: Store,
) -> None:
    files = ["/jobs/__init__.py", "/jobs/A.py", "/jobs/b.py"]
    for file in reversed(files):
        record(store, NOOP._replace(file=file))
    for file in files:
        spec = known(store, "noop")
        assert spec is not None
        assert spec.file == file
        record(store, gone=[file])
    assert known(store, "noop") is None


def test_of_two_jobs_of_one_name_in_a_file_the_first_counts(store: Store) -> None:
    record(store, NOOP, NOOP._replace(doc="Comes too late."))
    assert known(store, "noop") == NOOP


def test_a_job_of_no_directory_that_moves_to_another_file_is_known_once(store: Store) -> None:
    record(store, NOOP, directory="")
    record(store, NOOP._replace(file="/jobs/z.py", doc="Moved."), directory="")
    spec = known(store, "noop", "")
    assert spec is not None
    assert spec.file == "/jobs/z.py"
    assert store.rows("SELECT count(*) FROM catalog") == [(1,)]


def test_each_directory_has_its_own_jobs_and_files_though_one_lies_in_the_other(
    store: Store,
) -> None:
    inner = NOOP._replace(file="/jobs/deep/noop.py")
    record(store, SEND, inner)
    record(store, inner._replace(doc="Seen from below."), directory="/jobs/deep")
    assert known(store, "noop") == inner
    assert known(store, "send", "/jobs/deep") is None
    assert store.repository.catalog.stamps("/jobs/deep") == {inner.file: "1"}
    assert list(store.repository.known("noop")) == ["/jobs", "/jobs/deep"]
    record(store, gone=[inner.file])
    assert list(store.repository.known("noop")) == ["/jobs/deep"]
    assert store.repository.catalog.stamps("/jobs") == {SEND.file: "1"}


def test_a_job_of_no_directory_belongs_to_the_one_that_turns_out_to_hold_its_file(
    store: Store,
) -> None:
    record(store, NOOP, directory="")
    record(store, NOOP)
    assert known(store, "noop") == NOOP
    assert known(store, "noop", "") is None


def test_a_catalog_that_cannot_be_recorded_stays_as_it_was(store: Store) -> None:
    record(store, NOOP)
    before = store.everything()
    with pytest.raises(ProkerjaError):
        store.repository.catalog.record("/jobs", {"/jobs/\udcff.py": "1"}, [NOOP.file], [SEND])
    assert store.everything() == before


def test_a_job_file_whose_name_is_not_unicode_is_refused_clearly(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot hold it"):
        record(store, NOOP._replace(file="/jobs/\udcff/noop.py"))


# The door for plain SQL.


class Door:
    """Somebody's own connection to the file, and our eyes on it."""

    def __init__(self, store: Store) -> None:
        record(store, NOOP, SEND, LOOSE)
        self.store = store
        self.connection = sqlite3.connect(store.repository.path, isolation_level=None)

    def insert(self, verb: str = "INSERT", **columns: Any) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.connection.execute(
            f"{verb} INTO declare ({names}) VALUES ({marks})", tuple(columns.values())
        )

    def newest(self) -> Record:
        return self.store.repository.history.newest(None, None, None, 1)[0]

    def assert_tidy(self) -> None:
        """Every declaration is pending, stands in line once, and is counted."""
        rows = self.store.rows
        line = rows("SELECT declaration, lane, due_at FROM pending ORDER BY 1")
        assert line == rows("SELECT id, lane, due_at FROM declaration ORDER BY 1")
        counted = rows("SELECT id, pending FROM lane WHERE pending > 0 ORDER BY 1")
        assert counted == rows("SELECT lane, count(*) FROM declaration GROUP BY lane ORDER BY 1")


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    door = Door(store)
    yield door
    door.connection.close()


def test_through_the_door_a_job_gets_the_defaults_of_the_catalog(door: Door) -> None:
    before = time.time()
    door.insert(job="send", payload='{"to": "a"}')
    record = door.newest()
    assert record.lane == Lane("mail", "send", 7, "/jobs")
    assert (record.retries, record.retry_after, record.timeout) == (3, 60.5, 120.0)
    assert record.payload == '{"to": "a"}'
    assert record.status is PENDING
    assert before - 0.002 <= record.declared_at <= time.time() + 0.002
    assert record.due_at == record.declared_at
    door.insert(job="noop")
    record = door.newest()
    assert record.lane == Lane("default", "noop", 0, "/jobs")
    assert (record.payload, record.retries, record.timeout) == ("{}", 0, None)
    door.assert_tidy()


def test_through_the_door_every_option_can_be_given(door: Door) -> None:
    door.insert(
        job="send",
        payload='{"to":"b","n":2}',
        queue="ötå",
        priority=-3,
        due_at=4e9,
        retries=9,
        retry_after=0.5,
        timeout=1.25,
    )
    record = door.newest()
    assert record.lane == Lane("ötå", "send", -3, "/jobs")
    assert (record.due_at, record.retries, record.retry_after, record.timeout) == (
        4e9,
        9,
        0.5,
        1.25,
    )
    door.assert_tidy()


def test_through_the_door_an_option_that_is_null_is_one_not_given(door: Door) -> None:
    door.insert(
        job="send",
        payload='{"to":""}',
        queue=None,
        priority=None,
        due_at=None,
        retries=None,
        retry_after=None,
        timeout=None,
    )
    assert door.newest().lane == Lane("mail", "send", 7, "/jobs")
    assert door.newest().timeout == 120.0
    door.insert(job="noop", payload=None)
    assert door.newest().payload == "{}"


def test_through_the_door_zero_is_not_taken_for_nothing(door: Door) -> None:
    door.insert(job="send", payload='{"to":""}', priority=0, retries=0, retry_after=0, due_at=0)
    record = door.newest()
    assert (record.lane.priority, record.retries, record.retry_after) == (0, 0, 0.0)
    assert record.due_at == record.declared_at


@pytest.mark.parametrize(
    ("due_at", "seconds"),
    [
        (4_000_000_000, 4e9),
        (4_000_000_000.25, 4e9 + 0.25),
        ("2096-10-02 07:06:40", 4e9),
        ("2096-10-02T07:06:40", 4e9),
        ("2096-10-02T07:06:40Z", 4e9),
        ("2096-10-02T09:06:40+02:00", 4e9),
        ("2096-10-02 07:06:40.250", 4e9 + 0.25),
        ("2096-10-02 07:06", 4e9 - 40),
        ("2096-10-02", 4e9 - 25600),
    ],
)
def test_through_the_door_a_due_time_is_seconds_or_an_iso_time_in_utc(
    door: Door, due_at: float | str, seconds: float
) -> None:
    door.insert(job="noop", due_at=due_at)
    assert door.newest().due_at == pytest.approx(seconds, abs=0.002)
    door.assert_tidy()


@pytest.mark.parametrize(
    "text", [f"2096-10-02 07:06:{second:02}" for second in range(0, 60, 7)] + ["2030-01-31 18:00"]
)
def test_through_the_door_a_due_time_as_text_is_shown_as_it_was_written(
    door: Door, text: str
) -> None:
    door.insert(job="noop", due_at=text)
    assert iso(door.newest().due_at).startswith(text.replace(" ", "T"))


@pytest.mark.parametrize("due_at", [0, -5, 1.5, "2001-01-01", "1969-12-31T23:59:59Z"])
def test_through_the_door_a_due_time_in_the_past_means_now(door: Door, due_at: float | str) -> None:
    door.insert(job="noop", due_at=due_at)
    assert door.newest().due_at == door.newest().declared_at
    door.assert_tidy()


def test_through_the_door_sqlites_own_times_can_be_used(door: Door) -> None:
    door.connection.execute(
        "INSERT INTO declare (job, due_at) VALUES ('noop', datetime('now', '+1 day')),"
        " ('noop', unixepoch('now', '+1 day')), ('noop', 'now')"
    )
    waits = door.store.rows("SELECT due_at - declared_at FROM declaration ORDER BY id")
    assert [wait for (wait,) in waits] == pytest.approx([DAY, DAY, 0], abs=2)


PAYLOAD = "the payload is no JSON object"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"job": "nothing"}, "unknown job; `prokerja jobs` lists those there are"),
        ({"job": None}, "unknown job"),
        ({"job": "NOOP"}, "unknown job"),
        ({"payload": "{}"}, "unknown job"),
        ({"job": "noop", "payload": ""}, PAYLOAD),
        ({"job": "noop", "payload": "{"}, PAYLOAD),
        ({"job": "noop", "payload": "[]"}, PAYLOAD),
        ({"job": "noop", "payload": "null"}, PAYLOAD),
        ({"job": "noop", "payload": "1"}, PAYLOAD),
        ({"job": "noop", "payload": 1}, PAYLOAD),
        ({"job": "noop", "payload": '"{}"'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": NaN}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": Infinity}'}, PAYLOAD),
        ({"job": "loose", "payload": "{a: 1}"}, PAYLOAD),
        ({"job": "loose", "payload": "{'a': 1}"}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": 1,}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": "\0"}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": 1}\0{'}, PAYLOAD),
        ({"job": "loose", "payload": "[" * 100_000}, PAYLOAD),
        ({"job": "noop", "payload": '{"to": 1}'}, "a field that the job does not take"),
        ({"job": "send", "payload": '{"to": "", "N": 1}'}, "a field that the job does not take"),
        ({"job": "send", "payload": '{"n": 1}'}, "the payload lacks a field that the job needs"),
        ({"job": "send"}, "the payload lacks a field"),
        ({"job": "noop", "due_at": "soon"}, "due_at is neither UTC seconds nor a time such as"),
        ({"job": "noop", "due_at": ""}, "due_at is neither"),
        ({"job": "noop", "due_at": "2030-02-30 25:00"}, "due_at is neither"),
        ({"job": "noop", "due_at": "4000000000"}, "due_at is neither"),
        ({"job": "noop", "queue": ""}, "the queue needs a name of 1 to 255 characters"),
        ({"job": "noop", "queue": "q" * 256}, "the queue needs a name of 1 to 255 characters"),
        ({"job": "noop", "priority": 1001}, "."),
        ({"job": "noop", "priority": -1001}, "."),
        ({"job": "noop", "priority": "high"}, "."),
        ({"job": "noop", "priority": 1.5}, "."),
        ({"job": "noop", "retries": -1}, "."),
        ({"job": "noop", "retries": 1001}, "."),
        ({"job": "noop", "retries": "many"}, "."),
        ({"job": "noop", "retry_after": -1}, "."),
        ({"job": "noop", "retry_after": "1h"}, "."),
        ({"job": "noop", "timeout": 0}, "."),
        ({"job": "noop", "timeout": -1}, "."),
        ({"job": "noop", "timeout": "1h"}, "."),
        ({"job": "noop", "payload": b"{}"}, "."),
        ({"job": "noop", "queue": b"mail"}, "."),
        ({"job": "noop", "due_at": b"2096-10-02"}, "."),
    ],
)
def test_through_the_door_a_bad_request_is_refused_and_changes_nothing(
    door: Door, columns: dict[str, Any], message: str
) -> None:
    before = door.store.everything()
    with pytest.raises(sqlite3.Error, match=message):
        door.insert(**columns)
    assert door.store.everything() == before


@pytest.mark.parametrize("column", ["due_at", "retry_after", "timeout"])
@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e13])
def test_through_the_door_no_time_without_end_comes_in(
    door: Door, column: str, seconds: float
) -> None:
    """A limit or a due time that no clock, select() or calendar can hold, as declare refuses it."""
    with pytest.raises(sqlite3.Error):
        door.insert(**dict[str, Any]({"job": "noop", column: seconds}))


def test_through_the_door_a_payload_may_have_a_mebibyte_and_no_byte_more(door: Door) -> None:
    largest = '{"a":"%s"}' % ("å" * ((2**20 - 8) // 2))
    assert len(largest.encode()) == 2**20
    door.insert(job="loose", payload=largest)
    assert door.newest().payload == largest
    with pytest.raises(sqlite3.IntegrityError, match="larger than 1 MiB; pass the path of a file"):
        door.insert(job="loose", payload=largest + " ")


@pytest.mark.parametrize(
    "text",
    [
        "å∂ø 漢字 🙂 \u202e",
        "\x00",
        "a\x00b",
        "\x1b[31m\r\n\t\x7f",
        "\ud83d",
        "\udcff tail",
        "\ufeff",
        "'; DROP TABLE declaration; --",
        "\\u0000",
    ],
)
def test_through_the_door_every_string_survives_as_json_escapes_it(door: Door, text: str) -> None:
    payload = json.dumps({"a": text, text: 1})
    door.insert(job="loose", payload=payload)
    assert json.loads(door.newest().payload) == {"a": text, text: 1}
    [claimed] = take(door.store.repository, TURNS, time.time() + 1)
    assert json.loads(claimed.payload) == {"a": text, text: 1}


@pytest.mark.parametrize("text", ["å∂ø 漢字 🙂", "\u202e\ufeff", "\x7f"])
def test_through_the_door_text_survives_unescaped_too(door: Door, text: str) -> None:
    door.insert(job="loose", payload=json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(door.newest().payload) == {"a": text}


def test_through_the_door_no_payload_comes_in_that_a_worker_cannot_read(door: Door) -> None:
    deep = '{"a": %s}' % ("[" * 1500 + "]" * 1500)
    try:
        door.insert(job="loose", payload=deep)
    except sqlite3.Error:
        return  # refusing it is as good
    detail_json(Detail(door.newest(), [], None))


def test_through_the_door_a_job_stands_or_falls_with_the_transaction_around_it(door: Door) -> None:
    connection = door.connection
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO orders (what) VALUES ('tea')")
    door.insert(job="noop", queue="new")
    connection.execute("ROLLBACK")
    assert door.store.newest() == []
    assert door.store.rows("SELECT * FROM pending") == []
    door.assert_tidy()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO orders (what) VALUES ('tea')")
    door.insert(job="noop", queue="new")
    connection.execute("COMMIT")
    assert door.store.newest() == [1]
    door.assert_tidy()


def test_through_the_door_a_bad_row_does_not_undo_the_good_ones_of_its_transaction(
    door: Door,
) -> None:
    door.connection.execute("BEGIN")
    door.insert(job="noop")
    with pytest.raises(sqlite3.IntegrityError):
        door.insert(job="nothing")
    door.insert(job="noop")
    door.connection.execute("COMMIT")
    assert len(door.store.newest()) == 2
    door.assert_tidy()


def test_through_the_door_many_rows_come_from_one_statement_all_or_none(door: Door) -> None:
    numbers = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)"
    door.connection.execute(
        f"{numbers} INSERT INTO declare (job, payload, priority)"
        " SELECT 'loose', json_object('n', n), n % 3 FROM n"
    )
    assert len(door.store.newest()) == 100
    door.assert_tidy()
    with pytest.raises(sqlite3.IntegrityError, match="unknown job"):
        door.connection.execute(
            f"{numbers} INSERT INTO declare (job) SELECT iif(n = 100, 'nothing', 'noop') FROM n"
        )
    assert len(door.store.newest()) == 100
    door.assert_tidy()


def test_jobs_from_both_doors_stand_in_one_line(door: Door) -> None:
    door.store.now = time.time()
    lane = Lane("default", "noop", 0)
    ids = []
    for _ in range(3):
        ids += door.store.declare(asked(lane))
        door.insert(job="noop")
        ids.append(door.newest().id)
    assert ids == [1, 2, 3, 4, 5, 6]
    door.assert_tidy()
    door.store.now += 60
    assert sorted(door.store.take()) == ids


def test_the_door_shows_what_was_declared(door: Door) -> None:
    door.insert(job="send", payload='{"to":"a"}', due_at=4e9)
    rows = door.connection.execute("SELECT * FROM declare").fetchall()
    assert rows == [(1, "send", '{"to":"a"}', "mail", 7, 4e9, 3, 60.5, 120.0, "/jobs")]


@pytest.mark.parametrize(
    "verb",
    ["INSERT OR ABORT", "INSERT OR FAIL", "INSERT OR ROLLBACK", "INSERT OR IGNORE", "REPLACE"],
)
def test_through_the_door_every_kind_of_insert_declares_and_harms_nothing(
    door: Door, verb: str
) -> None:
    """The outer statement's conflict clause takes the place of those inside a trigger."""
    door.insert(job="noop")
    for _ in range(2):
        door.insert(verb, job="noop")
    assert door.store.newest() == [3, 2, 1]
    door.assert_tidy()


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"])
@pytest.mark.parametrize(
    "columns", [{"priority": 5000}, {"retries": -1}, {"timeout": 0}, {"queue": ""}]
)
def test_a_request_that_is_refused_at_the_door_never_queues_another_job_again(
    door: Door, verb: str, columns: dict[str, Any]
) -> None:
    """What would be realized twice is the job whose id is the connection's last row id."""
    door.store.now = time.time() + 1
    door.insert(job="noop")
    door.store.complete(1)
    door.connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    door.connection.execute("INSERT INTO orders DEFAULT VALUES")
    with contextlib.suppress(sqlite3.Error):
        door.insert(verb, job="noop", **columns)
    assert door.store.rows("SELECT declaration FROM pending") == []
    assert door.store.one(1).status is COMPLETED
    assert door.store.repository.lanes.tallies("default")[0].pending == 0


SHELL = """
BEGIN;
INSERT INTO declare (job, payload) VALUES ('send', '{"to": "o''hara å"}');
INSERT INTO declare (job, due_at) VALUES ('noop', '2096-10-02 07:06:40');
COMMIT;
BEGIN;
INSERT INTO declare (job) VALUES ('noop');
ROLLBACK;
SELECT id, job, due_at FROM declare WHERE job = 'noop';
INSERT INTO declare (job) VALUES ('nothing');
"""
OUR_SHELL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
statement = ""
for line in sys.stdin:
    statement += line
    if sqlite3.complete_statement(statement):
        try:
            for row in connection.execute(statement):
                print(*row, sep="|")
        except sqlite3.Error as error:
            sys.exit(str(error))
        statement = ""
"""


@pytest.mark.parametrize("shell", ["sqlite3", "python"])
def test_a_shell_of_another_process_declares_through_the_door(door: Door, shell: str) -> None:
    found = shutil.which("sqlite3") if shell == "sqlite3" else None  # not every machine has it
    command = [found, "-bail"] if found else [sys.executable, "-c", OUR_SHELL]
    done = subprocess.run(
        [*command, door.store.repository.path],
        input=SHELL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "unknown job; `prokerja jobs` lists those there are" in done.stderr
    [line] = done.stdout.splitlines()
    assert line.split("|")[:2] == ["2", "noop"]
    assert float(line.split("|")[2]) == pytest.approx(4e9, abs=0.002)
    assert door.store.newest() == [2, 1]
    assert json.loads(door.store.one(1).payload) == {"to": "o'hara å"}
    door.assert_tidy()


def test_what_came_through_the_door_is_claimed_and_reported_like_any_other(door: Door) -> None:
    door.insert(job="send", payload='{"to":"a"}')
    door.store.now = time.time() + 1
    record = door.newest()
    assert record_json(record)["status"] == "pending"
    detail = door.store.repository.find(record.id, door.store.now)
    assert detail is not None
    assert "no worker is alive" in str(detail.why)
    door.store.complete(record.id)
    assert door.newest().status is COMPLETED
