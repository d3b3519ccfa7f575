"""Limits, rates, resources, turns, pauses and notices against a plain model, in any order."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

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

from prokerja import events, lifecycle
from prokerja.errors import NotPaused
from prokerja.events import JobEvent, Position
from prokerja.model.change import Change
from prokerja.model.claim import Claimed as Claim
from prokerja.model.declaration import NOTIFY, Declaration, Lane
from prokerja.model.flow import Flow, Rate
from prokerja.model.worker import Taking
from prokerja.notices import Rule
from prokerja.repository import why
from prokerja.repository.sqlite import folding
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Failed, Parked, Postponed, Refusal, Released
from tests.crash.invariants import faults
from tests.crash.log import status_told
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, START, asked
from tests.sqlite.flow_model import NO_TIME, Begun, Job, Model, Said, rank_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from prokerja.model.declaration import Status
    from prokerja.repository.verbs import Turn
    from prokerja.verdicts import Ended, Settlement, Verdict

QUEUES = ("mail", "default", "other")
WEIGHTS = (3, 1)
TAKINGS = (
    Taking(resources={"gpu": 2, "memory": 8}),
    Taking(QUEUES[:2], weights=WEIGHTS, resources={"gpu": 1, "memory": 8}),
)
"""Of the two workers: one takes all in order, one takes turns between two queues."""
TOLD, OWN = Rule(("all",)), Rule(("own",))
RATES = {"slow": 60.0, "quick": 10.0}
"""The stretches of the rate keys."""
KINDS = ("completed", "completed", "failed", "failed", "later", "parked", "free", "kept", "unknown",
         "unfit")  # fmt: skip

limits = st.sampled_from([("", 0), ("", 0), ("db", 1), ("db", 2), ("disk", 1)])
rates = st.sampled_from([("", 0), ("", 0), ("slow", 1), ("quick", 1), ("quick", 2)])
needs = st.sampled_from([(), (), (("gpu", 1),), (("gpu", 2), ("memory", 5)), (("memory", 4),)])
fair = st.sampled_from(["", "", "a", "b"])


@st.composite
def flows(draw: st.DrawFn) -> Flow | None:
    (limit_key, most), (rate_key, starts) = draw(limits), draw(rates)
    flow = Flow(
        limit_key, most, rate_key, starts, RATES.get(rate_key, 0.0), draw(needs), draw(fair)
    )
    return None if flow == Flow() else flow


class Worker(NamedTuple):
    """One that lives."""

    id: int
    lock: int
    repository: SQLiteRepository


class Machine(RuleBasedStateMachine):
    """Two workers with little room, and people who declare, steer and end jobs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.model = Model(START)
        self.real = 0.0
        """Seconds since the beginning, by a clock that nobody puts back."""
        self.people = self.open()
        self.workers = [self.join(place) for place in range(2)]
        self.newest = 0
        self.begun: list[Begun] = []
        self.number = 0
        """Of claims so far."""
        self.numbers: dict[int, int] = {}
        """The number of the claim of each job that is claimed."""
        self.untold: list[tuple[int, str]] = []
        """What has failed for good, and by which command somebody is to be told."""
        self.notices: Counter[tuple[int, str]] = Counter()
        self.old: list[tuple[int, int, int]] = []
        """Token, id and lane of what was once claimed."""
        self.waited: Counter[tuple[str, str]] = Counter()
        """How many of the other queue in a row one has waited for that had something, by weight."""
        self.position = Position()
        self.told: dict[int, Status] = {}
        self.told_of: dict[str, float] = {}

    def open(self) -> SQLiteRepository:
        repository = SQLiteRepository(str(self.path))
        repository.database.durable(False)
        repository.claims.chance = lambda: 0.5
        return repository

    def join(self, place: int) -> Worker:
        repository = self.open()
        rules = [("failed", TOLD.to_json())]
        membership = repository.join(os.getpid(), self.model.now, 1, TAKINGS[place], rules)
        repository.learn(membership.worker, ["noop"])
        return Worker(*membership, repository)

    def teardown(self) -> None:
        for worker in self.workers:
            os.close(worker.lock)
            worker.repository.close()
        self.people.close()

    # People

    @rule(data=st.data(), count=st.integers(1, 8))
    def declare(self, data: st.DataObject, count: int) -> None:
        requests = [self.request(data) for _ in range(count)]
        self.register(self.people.declare(requests, self.model.now), requests)

    def request(self, data: st.DataObject) -> Declaration:
        lane = Lane(
            data.draw(st.sampled_from(QUEUES)), "noop", data.draw(st.sampled_from([0, 0, 7])), "",
            data.draw(flows()),
        )  # fmt: skip
        own: dict[str, Any] = (
            {"on_failure": OWN.to_json()} if data.draw(st.sampled_from([0, 0, 1])) else {}
        )
        due = self.model.now + data.draw(st.sampled_from([0.0, 0.0, 0.0, 5.0]))
        retries = data.draw(st.sampled_from([0, 0, 1]))
        return asked(lane, due_at=due, payload='{"to": 1}', retries=retries, retry_after=4.0, **own)

    def register(self, ids: Sequence[int], requests: Sequence[Declaration]) -> None:
        assert list(ids) == list(range(self.newest + 1, self.newest + 1 + len(requests)))
        for id, request in zip(ids, requests, strict=True):
            due = max(self.model.now, request.due_at)
            own = request.conditions is not None
            self.model.jobs[id] = Job(request.lane, due, request.retries, request.retry_after, own)
            self.newest = id

    @precondition(lambda self: self.model.of(PENDING))
    @rule(data=st.data(), queue=st.sampled_from(QUEUES), what=st.sampled_from("chr"))
    def change_or_hold(self, data: st.DataObject, queue: str, what: str) -> None:
        id = self.one_of(data, PENDING)
        job = self.model.jobs[id]
        if what == "c":
            self.people.change([id], Change(queue=queue, priority=7), self.model.now)
            job.lane = job.lane._replace(queue=queue, priority=7)
        elif not job.held:
            self.people.hold([id])
            job.held = True

    @precondition(lambda self: any(job.held for job in self.model.jobs.values()))
    @rule()
    def release_all(self) -> None:
        held = [id for id, job in self.model.jobs.items() if job.held]
        self.people.release(held)
        for id in held:
            self.model.jobs[id].held = False

    @precondition(lambda self: self.model.of(FAILED))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id = self.one_of(data, FAILED)
        self.people.retry([id], self.model.now)
        self.refresh(id)

    @precondition(lambda self: self.model.of(FAILED))
    @rule()
    def retry_all(self) -> None:
        failed = self.model.of(FAILED)
        failed = [id for id in failed if (self.model.jobs[id].ended_at or 0) <= self.model.now]
        assert self.people.retry_failed(None, None, self.model.now) == len(failed)
        for id in failed:
            self.refresh(id)

    def refresh(self, id: int) -> None:
        job = self.model.jobs[id]
        job.status, job.due_at, job.ended_at = PENDING, self.model.now, None
        job.held, job.was_held = job.was_held, False
        job.spent = job.crashes = job.returns = job.postponed = 0

    @precondition(lambda self: self.model.of(PENDING) or self.model.of(PROCESSING))
    @rule(data=st.data(), resolves=st.booleans())
    def cancel_or_resolve(self, data: st.DataObject, resolves: bool) -> None:
        claimed, waits = self.model.claimed(), self.awaiting()
        if resolves and waits:
            id = data.draw(st.sampled_from(waits))
            self.people.resolve(id, "1", None, self.model.now)
            job = self.model.jobs[id]
            job.status, job.due_at, job.awaiting = PENDING, self.model.now, None
            return
        open = [*self.model.of(PENDING), *self.model.of(PROCESSING)]
        ids = data.draw(st.lists(st.sampled_from(open), min_size=1, max_size=2, unique=True))
        left = self.people.cancel(ids, "cancelled", self.model.now)
        assert left == len(claimed.keys() & set(ids))
        for id in ids:
            if id in claimed:
                self.model.jobs[id].is_cancelled = True
            else:
                self.end(id, is_told=False)

    @rule(
        queue=st.sampled_from(["", "mail", "default"]), seconds=st.sampled_from([5.0, 30.0, None])
    )
    def pause(self, queue: str, seconds: float | None) -> None:
        until = None if seconds is None else self.model.now + seconds
        self.people.pause_queue(queue, self.model.now, "ann", None, until)
        said = self.model.said.setdefault(queue, Said())
        said.paused_until = math.inf if until is None else until

    @rule(queues=st.permutations(["", "mail", "default"]))
    def resume(self, queues: list[str]) -> None:
        for queue in queues[:2]:
            until = self.model.said.get(queue, Said()).paused_until
            with is_refused(until is None or until <= self.model.now):
                self.people.resume_queue(queue, self.model.now)
                self.model.said[queue].paused_until = None

    @rule(
        queue=st.sampled_from(QUEUES[:2]),
        most=st.sampled_from([1, 2, None, None]),
        rate=st.sampled_from([Rate(1, 10.0), Rate(2, 10.0), Rate(3, 60.0), None]),
    )
    def limit_or_rate_queue(self, queue: str, most: int | None, rate: Rate | None) -> None:
        self.people.limit_queue(queue, most)
        self.people.rate_queue(queue, rate)
        said = self.model.said.setdefault(queue, Said())
        said.limit, said.rate, said.since = most, rate, self.number + 1

    # The clock

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds
        self.real += seconds

    @rule(place=st.integers(0, 1))
    def time_passes_until_more_may_be_claimed(self, place: int) -> None:
        worker = self.workers[place]
        self.see_lanes()
        chance = self.model.first_chance(worker.id, TAKINGS[place])
        if chance is not None and chance > self.model.now:
            self.real += chance + NO_TIME - self.model.now
            self.model.now = chance + NO_TIME
        assert bool(self.turn(place, room=1)) == (chance is not None), "it may be claimed by then"

    @rule(seconds=st.sampled_from([0.5, 20.0]))
    def somebody_puts_the_clock_back(self, seconds: float) -> None:
        self.model.now -= seconds

    # Workers

    @rule(place=st.integers(0, 1), room=st.integers(0, 4), looks=st.integers(0, 2))
    def claim(self, place: int, room: int, looks: int) -> None:
        self.turn(place, room=room, looks=looks)

    @rule(data=st.data())
    def all_work(self, data: st.DataObject) -> None:
        """Both claim what they can, and have some of it begin and end."""
        for place in range(2):
            self.turn(place, room=5, looks=1)
            mine = [id for id in self.model.claimed() if self.place_of(id) == place]
            for id in self.some_of(data, mine):
                if self.model.jobs[id].began is None:
                    self.begins(id)
            verdicts = {id: self.verdict(data, id) for id in self.some_of(data, mine)}
            self.turn(place, verdicts, room=2)

    @precondition(lambda self: self.unbegun())
    @rule(data=st.data(), is_told=st.booleans())
    def begin(self, data: st.DataObject, is_told: bool) -> None:
        id = data.draw(st.sampled_from(self.unbegun()))
        self.begins(id)
        if is_told:
            self.tell_of([id])

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def tell_that_it_has_begun(self, data: st.DataObject) -> None:
        self.tell_of([data.draw(st.sampled_from(self.running()))])

    def tell_of(self, ids: list[int]) -> None:
        [place] = {self.place_of(id) for id in ids}
        self.turn(place, started=ids)

    @precondition(lambda self: self.model.claimed())
    @rule(data=st.data(), room=st.sampled_from([None, None, 0, 1, 3]))
    def settle(self, data: st.DataObject, room: int | None) -> None:
        first = data.draw(st.sampled_from([*self.model.claimed()]))
        place = self.place_of(first)
        mine = [id for id in self.model.claimed() if self.place_of(id) == place]
        ids = data.draw(st.lists(st.sampled_from(mine), min_size=1, max_size=4, unique=True))
        verdicts = {id: self.verdict(data, id) for id in ids}
        self.turn(place, verdicts, room=room)

    def verdict(self, data: st.DataObject, id: int) -> Verdict:
        kind = data.draw(st.sampled_from(KINDS))
        job = self.model.jobs[id]
        if job.began is not None and kind in ("kept", "unknown", "unfit"):
            kind = "free"
        if kind == "free" or (job.lane.queue == NOTIFY and kind[0] == "u"):
            return Released(counted=True)
        if kind in ("kept", "unknown", "unfit"):
            fields = "to" if kind == "unfit" else ""
            refusal = None if kind == "kept" else Refusal("is older", fields)
            return Released(counted=False, refusal=refusal)
        if job.began is None:
            self.begins(id)
        assert job.began is not None
        times = job.began, self.model.now
        if kind == "later":
            return Postponed(*times, 3.0)
        if kind == "parked":
            return Parked(*times, data.draw(st.sampled_from([None, 10.0])))
        if kind == "failed":
            return Failed(*times, "no")
        more = self.request(data)._replace(conditions=None)
        follow_ups = (more,) if data.draw(st.sampled_from([0, 0, 1])) else ()
        return Completed(*times, "1", follow_ups)

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def settle_late(self, data: st.DataObject) -> None:
        token, id, lane = data.draw(st.sampled_from(self.old))
        job = self.model.jobs.get(id)
        if job is not None and job.status is PROCESSING and job.token == token:
            return
        now = self.model.now
        verdicts: list[Verdict] = [
            Completed(now, now), Failed(now, now, "late"), Released(counted=False)
        ]  # fmt: skip
        late = [(id, lane, data.draw(st.sampled_from(verdicts)))]
        repository = self.workers[0].repository
        with repository.database.writing():
            assert repository.claims.settle(token, late, now, lambda: 0.5) == []

    @rule(place=st.integers(0, 1), data=st.data())
    def worker_dies(self, place: int, data: st.DataObject) -> None:
        """Another finds it dead, with what its realizers had written down."""
        dead, other = self.workers[place], self.workers[1 - place]
        os.close(dead.lock)
        dead.repository.close()
        held = {id: job for id, job in self.model.claimed().items() if self.place_of(id) == place}
        ended: dict[int, Failed] = {}
        journal: dict[tuple[int, int], Ended] = {}
        for id, job in held.items():
            if job.began is not None and data.draw(st.sampled_from([False, False, True])):
                ended[id] = Failed(job.began, self.model.now, "no")
                journal[job.token, id] = ended[id]
        other.repository.recover([dead.id], {dead.id: journal}, self.model.now)
        for id, failure in ended.items():
            self.conclude(id, failure)
        for id, job in held.items():
            if id not in ended:
                self.come_back_from_the_dead(id, job)
        self.model.refused = {one for one in self.model.refused if one[0] != dead.id}
        self.workers[place] = self.join(place)
        if TAKINGS[place].weights:
            self.waited.clear()

    def come_back_from_the_dead(self, id: int, job: Job) -> None:
        self.note_start(id, job.began if job.is_known else self.model.now)
        if job.is_cancelled:
            self.end(id, is_told=False)
        elif job.is_known:
            job.spent, job.crashes = job.spent + 1, job.crashes + 1
            if job.crashes > lifecycle.MAX_CRASHES:
                self.end(id)
            else:
                self.go_back(id, self.model.now)
        else:
            self.return_(id)

    @rule(
        keep=st.sampled_from([8.0, 100.0]),
        status=st.sampled_from([PENDING, COMPLETED, FAILED]),
        by_hand=st.booleans(),
    )
    def purge(self, keep: float, status: Status, by_hand: bool) -> None:
        """By hand, or by a worker that has nothing else to do."""
        before = self.model.now - keep
        if not by_hand:
            self.people.purge_old({COMPLETED: keep, FAILED: keep}, self.model.now, 10.0)
        ends = {
            id: job.due_at if job.status is PENDING else job.ended_at
            for id, job in self.model.jobs.items()
            if (job.status is status if by_hand else job.status is not PENDING)
        }
        gone = [id for id, end in ends.items() if end is not None and end < before]
        if by_hand:
            assert self.people.purge(status, before, now=self.model.now) == len(gone)
        self.forget(gone)
        found = Counter(self.rows("SELECT key, declaration, token, at FROM start"))
        for one in [*self.model.starts]:
            row = (one.key, one.id, one.token, one.at)
            found[row] -= 1
            if found[row] < 0:
                assert one.at is not None
                assert one.at <= self.model.now - self.stretch_of(one.key)
                self.model.starts.remove(one)

    def stretch_of(self, key: str) -> float:
        kind, name = key.split(" ")
        if kind == "key":
            return RATES[name]
        rate = self.model.said.get(name, Said()).rate
        return rate.seconds if rate else 0.0

    # A turn, and what each verdict does

    def turn(
        self,
        place: int,
        verdicts: dict[int, Verdict] | None = None,
        started: Sequence[int] = (),
        room: int | None = None,
        looks: int = 0,
    ) -> list[Claim]:
        """One of a worker's; returns what it has claimed."""
        worker, now = self.workers[place], self.model.now
        self.see_lanes()
        settlements: dict[int, list[Settlement]] = {}
        for id, verdict in (verdicts or {}).items():
            token = self.model.jobs[id].token
            settlements.setdefault(token, []).append((id, self.model.lanes[id], verdict))
        begun = [(self.claim_of(id), self.model.jobs[id].began or 0.0) for id in started]
        taken: list[Claim] = []

        def choose(offered: Iterator[Claim]) -> tuple[list[Claim], bool]:
            left = (room or 0) - len(taken)
            some = list(itertools.islice(offered, left + looks))[:left]
            taken.extend(some)
            return some, len(taken) == room

        want = None if room is None else Want(TAKINGS[place], choose)
        turn = worker.repository.turn(worker.id, settlements, begun, want, now)
        self.settled([(id, one) for some in settlements.values() for id, _, one in some], worker.id)
        for id in started:
            self.model.jobs[id].is_known = True
            self.note_start(id, self.model.jobs[id].began)
        self.time_out()
        self.hear_notices()
        if room is not None:
            self.check_claim(place, taken, turn, room)
        return taken

    def settled(self, verdicts: list[tuple[int, Verdict]], worker: int) -> None:
        """Of one claim after the other, and of each what has completed comes first."""
        token_of = {id: self.model.jobs[id].token for id, _ in verdicts}
        for token in dict.fromkeys(token_of.values()):
            mine = [(id, verdict) for id, verdict in verdicts if token_of[id] == token]
            completed = [(id, one) for id, one in mine if isinstance(one, Completed)]
            for id, one in completed:
                self.conclude(id, one)
            more = [request for _, one in completed for request in one.follow_ups]
            self.register(range(self.newest + 1, self.newest + 1 + len(more)), more)
            for id, verdict in mine:
                if not isinstance(verdict, Completed):
                    self.conclude(id, verdict, worker)

    def time_out(self) -> None:
        """Nobody has resolved these in time."""
        for id in self.awaiting():
            job = self.model.jobs[id]
            until = job.awaiting[1] if job.awaiting else None
            if until is not None and until <= self.model.now:
                job.awaiting = None
                self.fail(id)

    def conclude(self, id: int, verdict: Verdict, worker: int = 0) -> None:
        """It is settled."""
        job = self.model.jobs[id]
        was_cancelled, job.is_cancelled = job.is_cancelled, False
        if isinstance(verdict, Released):
            self.note_start(id, self.model.now if verdict.counted else None)
        else:
            self.note_start(id, getattr(verdict, "started_at", None))
        if isinstance(verdict, Completed):
            job.status, job.ended_at = COMPLETED, self.model.now
        elif was_cancelled:
            self.end(id, is_told=False)
        elif isinstance(verdict, Failed):
            self.fail(id)
        elif isinstance(verdict, Postponed):
            if job.postponed < lifecycle.MAX_LATER:
                job.postponed += 1
                self.go_back(id, self.model.now + verdict.seconds)
            else:
                self.end(id)
        elif isinstance(verdict, Parked):
            until = None if verdict.timeout is None else self.model.now + verdict.timeout
            job.awaiting = verdict.started_at, until
        elif isinstance(verdict, Released):
            self.return_(id, counted=verdict.counted)
            if verdict.refusal is not None:
                [[lane]] = self.rows(f"SELECT lane FROM declaration WHERE id = {id}")
                self.model.refused.add((worker, lane))

    def fail(self, id: int) -> None:
        job = self.model.jobs[id]
        job.spent += 1
        if job.spent > job.retries:
            self.end(id)
        else:
            self.go_back(id, self.model.now + job.retry_after * 2 ** (job.spent - 1))

    def return_(self, id: int, *, counted: bool = True) -> None:
        job = self.model.jobs[id]
        if counted and job.returns >= lifecycle.MAX_RELEASES:
            self.end(id)
        else:
            job.returns += counted
            self.go_back(id, job.due_at)

    def go_back(self, id: int, due_at: float) -> None:
        job = self.model.jobs[id]
        job.status, job.due_at = PENDING, due_at

    def end(self, id: int, *, is_told: bool = True) -> None:
        """It has failed for good."""
        job = self.model.jobs[id]
        job.was_held, job.held, job.is_cancelled = job.held, False, False
        job.status, job.ended_at, job.awaiting = FAILED, self.model.now, None
        if is_told and job.lane.queue != NOTIFY:
            self.untold += [(id, "all")] + [(id, "own")] * job.own

    def forget(self, ids: list[int]) -> None:
        for id in ids:
            del self.model.jobs[id]
            self.model.lanes.pop(id, None)

    def begins(self, id: int) -> None:
        """It really does, at this moment: no stretch may hold too many that have."""
        job = self.model.jobs[id]
        job.began = self.model.now
        flow, said = job.flow, self.model.said.get(job.lane.queue, Said())
        if flow and flow.rate_key:
            self.begin_under(id, f"key {flow.rate_key}", Rate(flow.max_starts, flow.rate_seconds))
        if said.rate and self.numbers[id] >= said.since:
            self.begin_under(id, f"queue {job.lane.queue} {said.since}", said.rate)

    def begin_under(self, id: int, key: str, rate: Rate) -> None:
        self.begun.append(Begun(key, self.numbers[id], rate.starts, rate.seconds, self.real))
        oldest = self.real - rate.seconds + NO_TIME
        stretch = [one for one in self.begun if one.key == key and one.at > oldest]
        last = max(stretch, key=lambda one: one.claim)
        assert len(stretch) <= last.most, "no stretch holds more than were to start in it"

    def note_start(self, id: int, at: float | None) -> None:
        """The store knows now when it began; None: it has not."""
        job = self.model.jobs[id]
        for one in [*self.model.starts]:
            if (one.id, one.token, one.at) == (id, job.token, None):
                one.at = at
                if at is None:
                    self.model.starts.remove(one)

    def hear_notices(self) -> None:
        """All that has failed for good is told of, by each rule once."""
        query = f"""
            SELECT d.id, label, payload, due_at, retries, retry_after, priority, name
            FROM declaration AS d JOIN lane ON lane.id = lane
            WHERE d.id > {self.newest} ORDER BY d.id"""
        told = Counter[tuple[int, str]]()
        for id, label, payload, due_at, retries, retry_after, priority, name in self.rows(query):
            command = "own" if '"own"' in payload else "all"
            told[int(label.removeprefix("failed: job ")), command] += 1
            self.model.jobs[id] = Job(Lane(NOTIFY, name, priority), due_at, retries, retry_after)
            self.newest = id
        assert told == Counter(self.untold)
        self.untold.clear()

    # What a claim has to be

    def check_claim(self, place: int, taken: list[Claim], turn: Turn, room: int) -> None:
        worker, taking = self.workers[place], TAKINGS[place]
        self.see_lanes()
        self.see_corrections()
        by_turns = self.model.ranks_by_turns(worker.id, taking)
        if taken and by_turns:
            self.model.join(worker.id, taking)
        for claim in taken:
            options = self.model.next(worker.id, taking, by_turns)
            assert claim.id in options.values(), f"{options} were to be next"
            [queue] = [name for name, id in options.items() if id == claim.id]
            if taking.weights and queue in taking.queues:
                self.weigh(queue, options)
            if rank_of(self.model.jobs[claim.id], taking) in by_turns:
                self.model.have_turn(claim.id)
            self.model.take(claim.id, claim.token)
            self.number += 1
            self.numbers[claim.id] = self.number
            self.old.append((claim.token, claim.id, claim.lane))
        if len(taken) < room:
            assert not self.model.next(worker.id, taking), "what may be claimed is"
            self.check_next_due(place, turn)

    def weigh(self, served: str, options: dict[str, int]) -> None:
        """A queue that has something waits for so many of the other in a row, at most."""
        weight = TAKINGS[1].weight_of
        for queue in QUEUES[:2]:
            other = next(name for name in QUEUES[:2] if name != queue)
            if served == queue or queue not in options:
                self.waited[queue, other] = 0
            else:
                self.waited[queue, other] += 1
                assert self.waited[queue, other] <= math.ceil(weight[other] / weight[queue])

    def check_next_due(self, place: int, turn: Turn) -> None:
        """A worker that waits until then misses nothing, and does not wake for nothing."""
        worker, taking, now = self.workers[place], TAKINGS[place], self.model.now
        chance = self.model.first_chance(worker.id, taking)
        if chance is not None:
            assert turn.next_due is not None, "it would sleep for ever"
            assert turn.next_due <= chance + 2 * NO_TIME, "it would come too late"
        if turn.next_due is not None:
            assert turn.next_due > now, "it would never sleep"
            moments = [moment - turn.next_due for moment in self.model.moments()]
            assert min(map(abs, moments)) < NO_TIME, "it would wake for nothing"

    def see_corrections(self) -> None:
        """What began later than now did so by a clock that was ahead, once somebody has looked."""
        query = "SELECT declaration, token, key, at FROM start"
        found = {tuple(key): at for *key, at in self.rows(query)}
        for one in self.model.starts:
            at = found[one.id, one.token, one.key]
            if at != one.at:
                assert one.at is not None
                assert one.at > at == self.model.now
                one.at = at
        for said in self.model.said.values():  # a pause that has ended is no more, for good
            if said.paused_until is not None and said.paused_until <= self.model.now:
                said.paused_until = None

    # What must hold after each step

    @invariant()
    def the_file_is_in_order(self) -> None:
        assert not list(faults(self.people.database.connection))

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        query = "SELECT d.id, status, due_at, lane FROM declaration AS d"
        lanes = dict(self.rows("SELECT id, queue FROM lane"))
        stored = {id: (status, due, lanes[lane]) for id, status, due, lane in self.rows(query)}
        codes = {PENDING: 0, PROCESSING: 0, COMPLETED: 1, FAILED: 2}
        assert stored == {
            id: (codes[job.status], job.due_at, job.lane.queue)
            for id, job in self.model.jobs.items()
        }
        held = {id for (id,) in self.rows("SELECT declaration FROM blocked")}
        assert held == {id for id, job in self.model.jobs.items() if job.held}
        held = {id for (id,) in self.rows("SELECT declaration FROM pending")} | held
        assert held == set(self.model.of(PENDING))

    @invariant()
    def slots_are_what_is_claimed_with_a_flow(self) -> None:
        query = """
            SELECT slot.declaration, token, limit_key, rate_key, fair_key
            FROM slot JOIN flow ON flow.id = slot.flow"""
        assert sorted(self.rows(query)) == sorted(
            (id, job.token, job.flow.limit_key, job.flow.rate_key, job.flow.fair_key)
            for id, job in self.model.claimed().items()
            if job.flow
        )

    @invariant()
    def no_key_and_no_resource_is_above_what_there_is(self) -> None:
        running = [job.flow for job in self.model.claimed().values() if job.flow]
        for key in {flow.limit_key for flow in running if flow.limit_key}:
            same = [flow.max_running for flow in running if flow.limit_key == key]
            assert len(same) <= max(same)
        used = self.model.in_use()
        for name in used:
            assert used[name] <= max(one.resources[name] for one in TAKINGS)

    @invariant()
    def starts_are_counted_until_no_stretch_holds_them(self) -> None:
        found = Counter(self.rows("SELECT key, declaration, token, at FROM start"))
        assert found == Counter((one.key, one.id, one.token, one.at) for one in self.model.starts)

    @invariant()
    def nothing_is_told_twice(self) -> None:
        [[left]] = self.rows("SELECT count(*) FROM happening")
        assert left == len({id for id, _ in self.untold}) or left == sum(
            command == "all" for _, command in self.untold
        )

    @invariant()
    def a_follower_knows_where_each_job_stands(self) -> None:
        for event in self.people.events(self.position, 100_000):
            position = Position.read(event.cursor)
            assert position is not None
            assert position > self.position
            self.position = position
            if isinstance(event, events.Paused):
                self.told_of[event.queue] = math.inf if event.until is None else event.until
            elif isinstance(event, events.Resumed):
                del self.told_of[event.queue]
            elif isinstance(event, JobEvent):
                self.told[event.id] = (PENDING, COMPLETED, FAILED)[status_told(event)]
        self.told = {id: status for id, status in self.told.items() if id in self.model.jobs}
        ended = (COMPLETED, FAILED)
        assert self.told == {
            id: job.status if job.status in ended else PENDING
            for id, job in self.model.jobs.items()
        }
        now = self.model.now
        assert {queue for queue, until in self.told_of.items() if until > now} == {
            queue for queue, said in self.model.said.items() if (said.paused_until or 0.0) > now
        }

    @precondition(lambda self: self.model.of(PENDING))
    @rule(data=st.data())
    def ask_why(self, data: st.DataObject) -> None:
        """Whoever asks is told the truth."""
        self.see_lanes()
        id = self.one_of(data, PENDING)
        conditions = self.people.conditions(id, self.model.now)
        asked_for = [one for one in conditions if one.name not in (why.IS_NEXT, why.IS_FREE)]
        job = self.model.jobs[id]
        may = any(
            id in self.model.waits_for(worker.id, taking) and self.model.is_eligible(job, taking)
            for worker, taking in zip(self.workers, TAKINGS, strict=True)
        )
        assert all(one.holds for one in asked_for) == may, conditions

    # Helpers

    def rows(self, query: str) -> list[Any]:
        return self.people.database.execute(query).fetchall()

    def see_lanes(self) -> None:
        self.model.lanes = dict(self.rows("SELECT id, lane FROM declaration"))

    def claim_of(self, id: int) -> Claim:
        return Claim(self.model.jobs[id].token, 0.0, id, self.model.lanes[id], "{}", 1, None)

    def place_of(self, id: int) -> int:
        worker = self.model.jobs[id].token // TURNS
        return [one.id for one in self.workers].index(worker)

    def one_of(self, data: st.DataObject, status: Status) -> int:
        id: int = data.draw(st.sampled_from(self.model.of(status)))
        return id

    def some_of(self, data: st.DataObject, ids: list[int]) -> list[int]:
        some: list[int] = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        return some

    def awaiting(self) -> list[int]:
        return [id for id, job in self.model.jobs.items() if job.awaiting]

    def unbegun(self) -> list[int]:
        return [id for id, job in self.model.claimed().items() if job.began is None]

    def running(self) -> list[int]:
        return [id for id, job in self.model.claimed().items() if job.began is not None]


def is_refused(refused: bool) -> AbstractContextManager[Any]:
    import contextlib

    return pytest.raises(NotPaused) if refused else contextlib.nullcontext()


def test_no_order_of_events_breaks_a_limit_a_rate_or_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "MAX_LANES", 3)  # so that lanes come and go
    for limit in ("MAX_LATER", "MAX_RELEASES", "MAX_CRASHES"):
        monkeypatch.setattr(lifecycle, limit, 2)  # so that it is reached
    template = tmp_path / "template.db"
    SQLiteRepository(str(template)).close()
    numbers = itertools.count()

    def machine() -> Machine:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(template, path)
        return Machine(path)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(max_examples=30, stateful_step_count=50, deadline=None),
    )
