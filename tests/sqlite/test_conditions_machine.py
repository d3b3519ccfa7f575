"""What declarations wait for, and stand for, against a plain model, in any order of events."""

from __future__ import annotations

import itertools
import shutil
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

from prokerja.errors import RequestError
from prokerja.lifecycle import TRANSITIONS
from prokerja.model.change import Change
from prokerja.model.declaration import Conditions, Declaration, Ids, Lane
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, Store, asked

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.model.declaration import Status

BATCHES, KEYS = ("a", "b"), ("k", "l")
LANES = (Lane("default", "noop", 0), Lane("default", "noop", 7))
FAR = 1e6


@dataclass
class Model:
    """One declaration as it should stand in the store."""

    lane: Lane
    due_at: float
    payload: str
    batch: str | None = None
    key: str | None = None
    held: bool = False
    was_held: bool = False
    """When it ended."""
    parents: dict[int, str] = field(default_factory=dict)
    """Those that it waits for, and what it means if they fail."""
    follows: str | None = None
    """The batch that it waits for."""
    expires_at: float | None = None
    status: Status = PENDING
    started: bool = False
    stands: bool = False
    """Whether its key is its own."""

    @property
    def blocked(self) -> bool:
        return self.held or bool(self.parents) or self.follows is not None


def has_key(request: Declaration) -> bool:
    return request.conditions is not None and request.conditions.coalesce is not None


class Machine(RuleBasedStateMachine):
    """One worker, which takes what is due, and people who declare, change and end it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.store = Store(str(path))
        self.jobs: dict[int, Model] = {}
        self.held: dict[int, tuple[int, int]] = {}
        """Token and lane of what the worker holds, by id."""
        self.before: dict[int, Status] = {}
        self.newest = 0

    def teardown(self) -> None:
        self.store.close()

    # What happens.

    @rule(data=st.data(), count=st.integers(1, 3))
    def declare(self, data: st.DataObject, count: int) -> None:
        requests = [self.request(data) for _ in range(count)]
        ids = self.store.repository.declare(requests, self.store.now)
        coalesced = ids.coalesced if isinstance(ids, Ids) else frozenset[int]()
        pairs = zip(ids, requests, strict=True)
        for _, group in itertools.groupby(pairs, lambda pair: has_key(pair[1])):
            self.register(list(group), coalesced)

    def register(self, group: list[tuple[int, Declaration]], coalesced: frozenset[int]) -> None:
        """Those without a key are there before it is looked at what they wait for."""
        fresh = []
        for id, request in group:
            wanted, lane, now = request.conditions, request.lane, self.store.now
            key = wanted.coalesce if wanted else None
            standing = self.standing(key) if key else None
            if wanted is not None and standing is not None:
                assert (id, id in coalesced) == (standing, True)
                self.take_over(id, request.payload, request.due_at, replace=wanted.replace)
                continue
            assert id > self.newest
            self.newest = id
            due = max(now, request.due_at)
            self.jobs[id] = Model(lane, due, request.payload, request.batch, key)
            self.jobs[id].stands = key is not None
            fresh.append((id, wanted))
            if key:
                self.wait(fresh)
                fresh.clear()
        self.wait(fresh)

    def wait(self, fresh: list[tuple[int, Conditions | None]]) -> None:
        for id, wanted in fresh:
            if wanted is not None:
                job = self.jobs[id]
                job.held, job.expires_at = wanted.hold, wanted.expires_at
                job.follows = wanted.after_batch
                self.depend(id, wanted.after, wanted.if_parent_fails)
            self.settle_batches()

    @rule(room=st.integers(1, 3))
    def claim(self, room: int) -> None:
        self.expire()
        self.settle_batches()
        due = [id for id in self.queued() if self.jobs[id].due_at <= self.store.now]
        order = sorted(due, key=self.place)
        taken = self.store.take(room)
        assert list(taken) == order[:room]
        self.held |= taken
        for id in taken:
            self.jobs[id].status = PROCESSING

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["complete", "fail", "return"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        id = data.draw(st.sampled_from(sorted(self.held)))
        token, lane = self.held.pop(id)
        now = self.store.now
        verdict: Completed | Failed | Released = Released(counted=False)
        if how == "complete":
            verdict = Completed(now, now, f"[{id}]")
        elif how == "fail":
            verdict = Failed(now, now, "no")
        self.store.settle(token, (id, lane, verdict))
        if how == "return":
            self.jobs[id].status = PENDING
        else:
            self.end(id, completed=how == "complete")
        self.expire()
        self.settle_batches()

    @precondition(lambda self: self.of(PENDING))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        some = st.lists(st.sampled_from(self.of(PENDING)), min_size=1, max_size=2, unique=True)
        ids = data.draw(some)
        self.store.repository.cancel(ids, "cancelled", self.store.now)
        for id in ids:
            if self.jobs[id].status is PENDING:
                self.end(id, completed=False)
        self.settle_batches()

    @precondition(lambda self: self.of(PENDING))
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.of(PENDING)))
        self.store.repository.hold([id])
        self.jobs[id].held = True

    @precondition(lambda self: any(job.held for job in self.jobs.values()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from([id for id in self.of(PENDING) if self.jobs[id].held]))
        self.store.repository.release([id])
        self.jobs[id].held = False

    @precondition(lambda self: self.of(PENDING))
    @rule(data=st.data(), priority=st.sampled_from([0, 7]), wait=st.sampled_from([0.0, 10.0]))
    def change(self, data: st.DataObject, priority: int, wait: float) -> None:
        id = data.draw(st.sampled_from(self.of(PENDING)))
        due = self.store.now + wait
        self.store.repository.change([id], Change(priority=priority, due_at=due), self.store.now)
        job = self.jobs[id]
        job.lane, job.due_at = job.lane._replace(priority=priority), due

    @precondition(lambda self: self.of(FAILED))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.of(FAILED)))
        job = self.jobs[id]
        other = self.standing(job.key) if job.key else None
        if other is not None:
            with pytest.raises(RequestError, match=f"job {other} stands for the key of job {id}"):
                self.store.repository.retry([id], self.store.now)
            return
        self.store.repository.retry([id], self.store.now)
        self.start_afresh(id)
        if not job.parents.keys() <= self.jobs.keys():
            self.end(id, completed=False)  # it waits for what was purged

    @rule()
    def retry_all(self) -> None:
        self.store.now += 0.001  # what an earlier one has failed again is of the past
        failed = self.of(FAILED)
        before = {id: self.store.one(id).attempts for id in failed}
        free = {key for key in KEYS if self.standing(key) is None}
        count = self.store.repository.retry_failed(None, None, self.store.now)
        after = {id: self.store.one(id) for id in failed}
        again = [
            id for id, one in after.items() if one.status is PENDING or one.attempts > before[id]
        ]
        # What waits for what was purged has failed again at once, and others with it; then the
        # next of the same key may have been tried.
        keys = {self.jobs[id].key for id in failed} & free
        expected = sum(self.jobs[id].key is None for id in failed) + len(keys)
        lost = [id for id in again if after[id].status is FAILED]
        assert count == len(again)
        assert expected <= count <= expected + len(lost)
        for lane in self.lanes():
            mine = [id for id in again if self.jobs[id].lane == lane]
            for id in mine:
                self.start_afresh(id)
            for id in mine:
                if not self.jobs[id].parents.keys() <= self.jobs.keys():
                    self.end(id, completed=False)

    @rule(status=st.sampled_from([PENDING, COMPLETED, FAILED]))
    def purge(self, status: Status) -> None:
        now = self.store.now
        self.store.purge(status, now if status is PENDING else now + FAR)
        lanes = self.lanes()
        for blocked, lane in itertools.product(
            [True, False] if status is PENDING else [None], lanes
        ):
            # What ends with those of another lane is not purged with its own.
            left = [id for id in self.of(status) if self.jobs[id].lane == lane]
            gone = [id for id in left if not self.counts(id)]
            if blocked is not None:
                gone = [id for id in gone if self.jobs[id].blocked == blocked]
                gone = [id for id in gone if self.jobs[id].due_at < now]
            for id in gone if status is PENDING else ():
                self.end(id, completed=False)
            for id in gone if status is not COMPLETED else ():
                self.orphan(id)
            self.settle_batches()
            for id in gone:
                del self.jobs[id]

    @rule()
    def time_passes(self) -> None:
        self.store.now += 7

    @rule()
    def worker_dies(self) -> None:
        self.store.recover()
        for id in self.held:
            self.jobs[id].status = PENDING
        self.held.clear()

    # What follows from it.

    def request(self, data: st.DataObject) -> Declaration:
        """What somebody may ask for."""
        draw, now = data.draw, self.store.now
        keys, batches = st.sampled_from([None, None, *KEYS]), st.sampled_from([None, *BATCHES])
        known = [None, *{job.batch for job in self.jobs.values() if job.batch}]
        conditions: dict[str, Any] = {
            "coalesce": draw(keys),
            "hold": draw(st.sampled_from([False, False, True])),
            "expires_at": draw(st.sampled_from([None, None, now + 3, now + 10])),
            "after": tuple(draw(st.lists(st.sampled_from([*self.jobs]), max_size=2, unique=True)))
            if self.jobs else (),
            "if_parent_fails": draw(st.sampled_from(["cancel", "run", "wait"])),
            "after_batch": draw(st.sampled_from(known)),
        }  # fmt: skip
        if conditions["coalesce"]:
            conditions["replace"] = draw(st.booleans())
        is_plain = draw(st.sampled_from([True, False, False]))
        return asked(
            draw(st.sampled_from(LANES)),
            due_at=now + draw(st.sampled_from([0.0, 0.0, 5.0])),
            payload=f'{{"n":{draw(st.integers(0, 9))}}}',
            batch=draw(batches),
            **({} if is_plain else conditions),
        )

    def depend(self, id: int, parents: tuple[int, ...], if_fails: str) -> None:
        job = self.jobs[id]
        for parent in parents:
            status = self.jobs[parent].status
            if status is FAILED and if_fails == "cancel":
                self.end(id, completed=False)
            if not (status is COMPLETED or (status is FAILED and if_fails == "run")):
                job.parents[parent] = if_fails

    def standing(self, key: str | None) -> int | None:
        found = [id for id, job in self.jobs.items() if job.stands and job.key == key]
        return found[0] if found else None

    def take_over(self, id: int, payload: str, due_at: float, *, replace: bool) -> None:
        job = self.jobs[id]
        if replace and job.status is PENDING:
            job.payload, job.due_at = payload, max(self.store.now, due_at)

    def end(self, id: int, *, completed: bool) -> None:
        job = self.jobs[id]
        job.status, job.stands = COMPLETED if completed else FAILED, False
        job.was_held, job.held = job.held, False
        for child, other in list(self.jobs.items()):
            if_fails = other.parents.get(id)
            if if_fails is None:
                continue
            if completed or if_fails == "run":
                del other.parents[id]
            elif if_fails == "cancel" and other.status is PENDING:
                self.end(child, completed=False)

    def lanes(self) -> list[Lane]:
        """In the order in which the store goes through them."""
        matching = self.store.repository.lanes.matching  # type: ignore[attr-defined]
        return list(matching(None, None).values())

    def counts(self, id: int) -> bool:
        """Whether somebody waits to be told what came of it."""
        job = self.jobs[id]
        waiting = (other.follows for other in self.jobs.values() if other.status is PENDING)
        return job.status is not PENDING and job.batch is not None and job.batch in waiting

    def start_afresh(self, id: int) -> None:
        job = self.jobs[id]
        job.status, job.due_at, job.started = PENDING, self.store.now, True
        job.stands, job.held = job.key is not None, job.was_held

    def orphan(self, id: int) -> None:
        """A purged one is not waited for."""
        for child, other in list(self.jobs.items()):
            if id in other.parents and other.status is PENDING:
                self.end(child, completed=False)

    def expire(self) -> None:
        for id in self.of(PENDING):
            job = self.jobs[id]
            is_over = job.expires_at is not None and job.expires_at <= self.store.now
            if is_over and not job.started and job.status is PENDING:
                self.end(id, completed=False)

    def settle_batches(self) -> None:
        for batch in BATCHES:
            followers = [id for id, job in self.jobs.items() if job.follows == batch]
            is_open = [
                id
                for id, job in self.jobs.items()
                if job.batch == batch and job.status in (PENDING, PROCESSING)
            ]
            if not set(is_open) - set(followers):
                for id in followers:
                    self.jobs[id].follows = None

    def of(self, status: Status) -> list[int]:
        return [id for id, job in self.jobs.items() if job.status is status]

    def place(self, id: int) -> tuple[int, float, int]:
        """Where it goes among those that are due."""
        return -self.jobs[id].lane.priority, self.jobs[id].due_at, id

    def queued(self) -> list[int]:
        return [id for id in self.of(PENDING) if not self.jobs[id].blocked]

    # What must hold after each step.

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        records = {one.id: one for one in map(self.store.one, self.store.newest())}
        assert {
            id: (job.status, job.lane, job.due_at, job.payload) for id, job in self.jobs.items()
        } == {id: (one.status, one.lane, one.due_at, one.payload) for id, one in records.items()}
        assert sum(self.store.counts()) == len(self.jobs)
        counts = [len(self.of(status)) for status in (PENDING, PROCESSING, COMPLETED, FAILED)]
        assert self.store.counts() == counts

    @invariant()
    def what_is_blocked_stands_in_no_queue(self) -> None:
        execute = self.store.repository.database.execute  # type: ignore[attr-defined]
        queued = {id for (id,) in execute("SELECT declaration FROM pending")}
        blocked = {id for (id,) in execute("SELECT declaration FROM blocked")}
        assert queued == set(self.queued())
        assert blocked == set(self.of(PENDING)) - queued

    @invariant()
    def a_key_is_that_of_one_open_declaration(self) -> None:
        execute = self.store.repository.database.execute  # type: ignore[attr-defined]
        found = execute("SELECT declaration, key FROM coalescing WHERE open").fetchall()
        assert set(found) == {(id, job.key) for id, job in self.jobs.items() if job.stands}

    @invariant()
    def only_changes_of_the_table_happen(self) -> None:
        for id, job in self.jobs.items():
            last = self.before.get(id, PENDING)
            assert last is job.status or (last, job.status) in TRANSITIONS
            self.before[id] = job.status


def test_no_order_of_events_makes_the_store_and_a_plain_model_differ(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    Store(str(template)).close()
    numbers = itertools.count()

    def machine() -> Machine:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(template, path)
        return Machine(path)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )
