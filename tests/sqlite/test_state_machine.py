"""The store against a plain model of it, in any order of events."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shutil
import sqlite3
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

from prokerja import events, lifecycle
from prokerja.errors import BadOption, NotAwaiting, NotFound, NotPaused, NotRunning, RequestError
from prokerja.events import (
    Declared,
    JobEvent,
    Paused,
    Position,
    Progressed,
    Recovered,
    Resumed,
    Retried,
    Started,
)
from prokerja.lifecycle import CANCELLED, DAY, MAX_CRASHES, MAX_RELEASES, TRANSITIONS
from prokerja.model.claim import FailedAttempt, Reported
from prokerja.model.declaration import Declaration, Lane, Status
from prokerja.model.progress import Progress
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite import history
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.hooks import MAX_TRIES
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Failed, HooksEnded, Parked, Postponed, Refusal, Released
from tests.repository.harness import (
    COMPLETED,
    DIRECTORIES,
    FAILED,
    LANES,
    NAMES,
    NOOP,
    PENDING,
    PROCESSING,
    QUEUES,
    START,
    asked,
)
from tests.sqlite.store import take, turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prokerja.verdicts import Settlement, Verdict


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
    cancelled: bool = False
    told: bool = False
    """Whether its hooks have heard that it has failed, or have been asked too often."""
    tries: int = 0
    steps: dict[str, str | None] = field(default_factory=dict)
    progress: Progress | None = None
    suspended: float | None = None
    fields: str = ""
    """What keeps it apart from others of its lane."""
    postponed: int = 0
    awaiting: tuple[str | None, float, float, float | None] | None = None
    """The token, when the attempt began, since when it waits, and until when."""
    answer: tuple[str, str | None] | None = None
    """What it was resolved with, and the token."""
    wrong: list[tuple[int, bool]] = field(default_factory=list)
    """Of the attempts that went wrong: the number, and whether the worker died."""

    @property
    def place(self) -> tuple[Lane, str]:
        return self.lane, self.fields

    @property
    def crashes(self) -> int:
        return sum(crashed for number, crashed in self.wrong if number > self.forgiven)


ENDS = (events.Completed, events.Failed, events.Cancelled, events.Expired)


@dataclass
class Told:
    """What events have told of a job."""

    status: Status = PENDING
    attempts: int = 0
    begun: bool = False

    def hear(self, event: JobEvent) -> None:
        ends = isinstance(event, ENDS)
        self.attempts += ends or (isinstance(event, Recovered) and event.attempt is not None)
        if isinstance(event, Started):
            assert not self.begun
            assert event.attempt == self.attempts + 1
        if isinstance(event, events.Completed):
            assert self.begun
            self.status = COMPLETED
        elif ends:
            self.status = PENDING if getattr(event, "retry_at", None) else FAILED
        elif isinstance(event, Retried):
            self.status = PENDING
        if not isinstance(event, Progressed):
            self.begun = isinstance(event, Started)


HOOKED = NAMES[1]
"""The job whose class has hooks that hear of an end."""


PAUSABLE = ("", QUEUES[1])


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
            repository.claims.chance = lambda: 0.5
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
        self.lanes: dict[tuple[Lane, str], int] = {}
        self.refused: set[tuple[int, int]] = set()
        """Workers and lanes that they leave out."""
        self.position = Position()
        self.told: dict[int, Told] = {}
        """What a follower knows of each job."""
        self.counted = 0
        """Attempts that have ended and been counted for good."""
        self.pauses: dict[str, float] = {}
        """Until when queues are paused; all of them as `""`."""
        self.told_of: dict[str, float] = {}
        """What a follower knows of that."""

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
            (lane.name, lane.queue, lane.priority, lane.directory, *request[2:6]),
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
            and (self.worker, self.lanes[job.place]) not in self.refused
            and not (self.is_paused(job.lane.queue) or self.is_paused(""))
        ]
        ids = [id for *_, id in sorted(due)][:room]
        token = self.worker * TURNS + next(self.turns)
        claimed = take(
            self.current, token, self.now, room, Taking(tuple(queues), names, directories)
        )
        assert [(c.id, c.lane, c.payload, c.attempt, c.timeout) for c in claimed] == [
            (id, self.lanes[job.place], job.payload, job.attempt + 1, job.timeout)
            for id, job in ((id, self.jobs[id]) for id in ids)
        ]
        for id in ids:
            self.jobs[id].status, self.jobs[id].token = PROCESSING, token
            self.old.append((token, id, self.lanes[self.jobs[id].place]))
        if ids:
            self.claims[token] = ids
        extras = self.current.claims.extras.of(token, ids)
        given = {id: self.jobs[id].steps for id in ids if self.jobs[id].steps}
        assert {id: extra.steps for (_, id), extra in extras.items() if extra.steps} == given
        answers = {id: answer for id in ids if (answer := self.jobs[id].answer)}
        assert {
            id: (extra.answer, extra.token) for (_, id), extra in extras.items() if extra.answer
        } == answers

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        token, ids = self.some(data)
        with self.current.database.writing():
            self.current.claims.started(token, [(id, self.now) for id in ids], self.now)
        for id in ids:
            self.jobs[id].running = self.now

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        chance=st.floats(0, 1, exclude_max=True),
        follow_up=st.none() | st.sampled_from(LANES),
        twice=st.booleans(),
        seconds=st.sampled_from([0.5, 60.0]),
        secret=st.sampled_from([None, "x"]),
    )
    def settle(
        self,
        data: st.DataObject,
        chance: float,
        follow_up: Lane | None,
        twice: bool,
        seconds: float,
        secret: str | None,
    ) -> None:
        token, ids = self.some(data)
        kinds = [data.draw(st.sampled_from(KINDS)) for _ in ids]
        more = () if follow_up is None else (asked(follow_up, due_at=self.now + 5),)
        verdicts: list[Settlement] = [
            (id, self.lanes[self.jobs[id].place], self.verdict(id, kind, more, seconds, secret))
            for id, kind in zip(ids, kinds, strict=True)
        ]
        with self.current.database.writing():
            given = verdicts * 2 if twice else verdicts
            fates = self.current.claims.settle(token, given, self.now, lambda: chance)
        expected = []
        for (id, _, verdict), kind in zip(verdicts, kinds, strict=True):
            started = self.jobs[id].running is not None
            self.leave(token, id)
            if isinstance(verdict, Completed):
                self.complete(id)
                self.expect(range(self.newest + 1, self.newest + 1 + len(more)), more)
            elif isinstance(verdict, Failed):
                expected.append(self.fail(id, chance))
            elif self.jobs[id].cancelled:
                expected.append(self.stop(id, started=started))
            elif isinstance(verdict, Postponed):
                expected += self.postpone(id, seconds)
            elif isinstance(verdict, Parked):
                self.park(id, seconds, secret)
            else:
                self.come_back(id, free=kind == "free")
                if kind[0] == "u":
                    self.refuse(token // TURNS, id, apart=kind == "unfit")
        assert fates == expected

    def verdict(
        self,
        id: int,
        kind: str,
        more: tuple[Declaration, ...],
        seconds: float,
        secret: str | None,
    ) -> Verdict:
        times = self.now - 2, self.now
        verdicts: dict[str, Verdict] = {
            "completed": Completed(*times, f"[{id}]", more),
            "failed": Failed(*times, f"E{id}", "at line 1"),
            "later": Postponed(*times, seconds),
            "parked": Parked(*times, None if secret is None else seconds, secret),
        }
        refusal = Refusal("is older", "to" if kind == "unfit" else "")
        return verdicts.get(kind) or Released(
            counted=kind == "free", refusal=refusal if kind[0] == "u" else None
        )

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
            (id, lane, Postponed(self.now, self.now, 1.0)),
            (id, lane, Parked(self.now, self.now, 1.0, "late")),
        ]
        verdict: Settlement = data.draw(st.sampled_from(late))
        before = self.everything()
        with self.current.database.writing():
            assert self.current.claims.settle(token, [verdict], self.now, lambda: 0.5) == []
        assert self.everything() == before

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        names=st.lists(st.sampled_from("abc"), min_size=1, max_size=2),
        done=st.none() | st.integers(0, 9),
    )
    def tell(self, data: st.DataObject, names: list[str], done: int | None) -> None:
        token, ids = self.some(data)
        steps, progress = [], []
        for id in ids:
            job = self.jobs[id]
            for name in names:
                value = f"[{self.now}, {id}]"
                steps.append(((token, id), name, value))
                job.steps.setdefault(name, value)
            if done is not None:
                job.progress = Progress(job.attempt + 1, done, 9, "of nine", self.now)
                progress.append(((token, id), job.progress))
        assert self.report(Reported(steps, progress)) == []

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def tell_late(self, data: st.DataObject) -> None:
        token, id, _ = data.draw(st.sampled_from(self.old))
        if id in self.claims.get(token, ()):
            token += TURNS * 1000  # a token that nobody holds
        claim = (token, id)
        late = Reported([(claim, "a", "1")], [(claim, Progress(1, 1, None, "", self.now))])
        before = self.everything()
        assert self.report(late) == [claim]
        assert self.everything() == before

    @rule(have_run=st.booleans())
    def tell_of_ends(self, have_run: bool) -> None:
        token = self.worker * TURNS + next(self.turns)
        hooks, now = self.current.claims._hooks, self.now
        want = Want(Taking(), lambda _: ([], True), lambda offered: (list(offered), False))
        with self.current.database.writing():
            given, _ = hooks.claim(token, want, now)
            ids = [id for _, id in given]
            ended = HooksEnded(now, now, have_run=have_run)
            hooks.settle(token, [(id, 0, ended) for id in ids])
        assert set(ids) == self.untold()
        for id in ids:
            job = self.jobs[id]
            job.tries += not have_run
            job.told = have_run or job.tries == MAX_TRIES

    def untold(self) -> set[int]:
        """Those that have failed, and whose hooks are yet to hear of it."""
        return {
            id
            for id in self.of(FAILED)
            if self.jobs[id].lane.name == HOOKED and not self.jobs[id].told
        }

    @invariant()
    def who_is_to_be_told_is_who_has_failed_untold(self) -> None:
        assert {id for (id,) in self.rows("SELECT declaration FROM untold")} == self.untold()

    @invariant()
    def a_follower_knows_what_has_become_of_each_job(self) -> None:
        for event in self.repositories[0].events(self.position, 100_000):
            place = Position.read(event.cursor)
            assert place is not None
            assert place > self.position
            self.position = place
            if isinstance(event, Paused):
                self.told_of[event.queue] = math.inf if event.until is None else event.until
            elif isinstance(event, Resumed):
                del self.told_of[event.queue]
            if not isinstance(event, JobEvent):
                continue
            if isinstance(event, Declared):
                assert event.id not in self.told
                self.told[event.id] = Told()
            self.told[event.id].hear(event)
        known = {id: (told.status, told.attempts) for id, told in self.told.items()}
        ended = (COMPLETED, FAILED)
        assert {id: known.pop(id) for id in self.jobs} == {
            id: (job.status if job.status in ended else PENDING, job.attempt)
            for id, job in self.jobs.items()
        }
        for id in known:  # they have been purged
            del self.told[id]
        lasting = {queue for queue, until in self.told_of.items() if until > self.now}
        assert lasting == {queue for queue in PAUSABLE if self.is_paused(queue)}

    @rule()
    def worker_dies(self) -> None:
        held = [(token, ids) for token, ids in self.claims.items() if token // TURNS == self.worker]
        with self.current.database.writing():
            count = self.current.claims.put_back(self.worker, self.now)
        assert count == sum(not self.jobs[id].cancelled for _, ids in held for id in ids)
        for token, ids in held:
            for id in list(ids):
                started = self.jobs[id].running is not None
                self.leave(token, id)
                if self.jobs[id].cancelled:
                    self.stop(id, started=started)
                elif started:
                    self.crash(id)
                else:
                    self.come_back(id, free=True)
        self.worker += 1

    @rule()
    def its_job_files_are_loaded_anew(self) -> None:
        self.current.learn(self.worker, NAMES)
        self.refused = {one for one in self.refused if one[0] != self.worker}

    @precondition(lambda self: self.of(PROCESSING))
    @rule(data=st.data(), resumed=st.booleans())
    def suspend(self, data: st.DataObject, resumed: bool) -> None:
        id = data.draw(st.sampled_from(self.of(PROCESSING)))
        job = self.jobs[id]
        is_able = job.running is not None and not (resumed and job.suspended is None)
        with contextlib.nullcontext() if is_able else pytest.raises(NotRunning, match=f"job {id} "):
            if resumed:
                self.current.resume([id])
            else:
                self.current.suspend([id], self.now)
        if is_able:
            job.suspended = None if resumed else job.suspended or self.now

    @rule(queue=st.sampled_from(PAUSABLE), seconds=st.sampled_from([5.0, 60.0, None]))
    def pause_queue(self, queue: str, seconds: float | None) -> None:
        until = None if seconds is None else self.now + seconds
        _, replaced = self.current.pause_queue(queue, self.now, "ann", None, until)
        assert (replaced is not None) == self.is_paused(queue)
        self.pauses[queue] = math.inf if until is None else until

    @precondition(lambda self: self.pauses)
    @rule(queue=st.sampled_from(PAUSABLE))
    def resume_queue(self, queue: str) -> None:
        paused = contextlib.nullcontext() if self.is_paused(queue) else pytest.raises(NotPaused)
        with paused:
            self.current.resume_queue(queue, self.now)
        self.pauses.pop(queue, None)

    def is_paused(self, queue: str) -> bool:
        return self.pauses.get(queue, 0.0) > self.now

    @rule()
    def another_worker_starts(self) -> None:
        self.worker += 1

    @precondition(lambda self: self.awaiting())
    @rule(data=st.data(), with_token=st.booleans(), n=st.integers(0, 9))
    def resolve(self, data: st.DataObject, with_token: bool, n: int) -> None:
        id = data.draw(st.sampled_from(self.awaiting()))
        job = self.jobs[id]
        assert job.awaiting is not None
        secret = job.awaiting[0]
        self.current.resolve(id, str(n), secret if with_token else None, self.now)
        job.status, job.due_at, job.awaiting = PENDING, self.now, None
        job.answer = str(n), secret

    @rule(data=st.data())
    def resolve_what_does_not_wait(self, data: st.DataObject) -> None:
        missing = [self.newest + 1, 0, -1]
        bad = data.draw(st.sampled_from([*missing, *self.jobs]))
        token = "wrong" if bad in self.awaiting() else None
        error = BadOption if token else NotFound if bad in missing else NotAwaiting
        before = self.everything()
        with pytest.raises(error, match=rf"job {bad}\b") as caught:
            self.current.resolve(bad, "1", token, self.now)
        if isinstance(caught.value, NotAwaiting):
            assert caught.value.status is self.jobs[bad].status
        assert self.everything() == before

    @rule()
    def nobody_resolves_in_time(self) -> None:
        late = [
            (until, id) for id, job in self.jobs.items()
            if job.awaiting and (until := job.awaiting[3]) is not None and until <= self.now
        ]  # fmt: skip
        turn = self.current.turn(self.worker, {}, (), None, self.now)
        expected = []
        for _, id in sorted(late):
            token, _, since, until = self.jobs[id].awaiting or (None, 0.0, 0.0, 0.0)
            assert token is not None
            assert until is not None
            self.jobs[id].awaiting = None
            expected.append(self.fail(id, 0.5, lifecycle.unresolved(until - since)))
        assert sorted(turn.failed) == sorted(expected)
        assert turn.deadline == min(
            (job.awaiting[3] for job in self.jobs.values() if job.awaiting and job.awaiting[3]),
            default=None,
        )

    @precondition(lambda self: self.open())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.open()), min_size=1, max_size=4))
        held = set(ids) & set(self.claimed())
        assert self.current.cancel(ids, CANCELLED, self.now) == len(held)
        for id in set(ids):
            self.end(id)

    @rule(lanes=st.lists(st.sampled_from(LANES), unique=True, max_size=6))
    def cancel_matching(self, lanes: list[Lane]) -> None:
        ids = [id for id in self.open() if self.jobs[id].lane in lanes]
        held = len(set(ids) & set(self.claimed()))
        known = [id for (lane, _), id in self.lanes.items() if lane in lanes]
        cancel = self.current.cancelling.cancel_matching
        assert cancel(known, None, None, CANCELLED, self.now) == (len(ids), held)
        for id in ids:
            self.end(id)

    @rule(data=st.data())
    def cancel_what_has_ended(self, data: st.DataObject) -> None:
        missing = [self.newest + 1, 0, -1]
        bad = data.draw(st.sampled_from([*missing, *set(self.jobs) - set(self.open())]))
        before = self.everything()
        with pytest.raises(NotFound if bad in missing else RequestError, match=rf"job {bad}\b"):
            self.current.cancel([*self.open(), bad], CANCELLED, self.now)
        assert self.everything() == before

    @precondition(lambda self: self.of(FAILED))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.of(FAILED)), min_size=1, max_size=4))
        self.current.fresh_starts.retry(ids, self.now)
        for id in set(ids):
            self.refresh(id)

    @precondition(lambda self: self.not_due())
    @rule(data=st.data())
    def make_due(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.not_due()))
        self.current.fresh_starts.retry([id], self.now)
        self.jobs[id].due_at = self.now

    @rule(data=st.data())
    def retry_what_has_not_failed(self, data: st.DataObject) -> None:
        missing = [self.newest + 1, 0, -1]
        fit = {*self.of(FAILED), *self.not_due()}
        bad = data.draw(st.sampled_from([*missing, *set(self.jobs) - fit]))
        ids = [*self.of(FAILED), bad]
        before = self.everything()
        with pytest.raises(NotFound if bad in missing else RequestError, match=rf"job {bad}\b"):
            self.current.fresh_starts.retry(ids, self.now)
        assert self.everything() == before

    @rule(lanes=st.lists(st.sampled_from(LANES), unique=True, max_size=6))
    def retry_failed(self, lanes: list[Lane]) -> None:
        ids = [id for id in self.of(FAILED) if self.jobs[id].lane in lanes]
        known = [id for (lane, _), id in self.lanes.items() if lane in lanes]
        assert self.current.fresh_starts.retry_failed(known, self.now) == len(ids)
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
            (self.lanes[job.place], job.due_at if status is PENDING else job.finished_at or 0.0, id)
            for id, job in self.jobs.items()
            if job.status is status
            and (job.due_at if status is PENDING else job.finished_at or 0.0) < before
        ]
        count = len(gone) if most is None else min(most, len(gone))
        lanes = sorted(self.lanes.values())
        assert self.current.purging.purge(lanes, status, before, most) == count
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
            repository.claims.started(
                token, [(claimed.id, self.now) for claimed in taken], self.now
            )
            verdicts = [(c.id, c.lane, Failed(self.now, self.now, "E")) for c in taken[::2]]
            repository.claims.settle(token, verdicts, self.now, lambda: 0.5)
            raise TurnedBackError

    # What each verb should do.

    def expect(self, ids: Sequence[int], requests: Sequence[Declaration]) -> None:
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
        self.see_lanes()

    def see_lanes(self) -> None:
        self.lanes = {
            (Lane(*lane), fields): id
            for id, *lane, fields in self.rows(
                "SELECT id, queue, name, priority, directory, fields FROM lane"
            )
        }

    def complete(self, id: int) -> None:
        job = self.jobs[id]
        job.status, job.result, job.finished_at = COMPLETED, f"[{id}]", self.now
        job.attempt += 1
        job.cancelled, job.answer = False, None
        job.steps = dict.fromkeys(job.steps)
        self.counted += 1

    def postpone(self, id: int, seconds: float) -> list[FailedAttempt]:
        job = self.jobs[id]
        if job.postponed < lifecycle.MAX_LATER:
            job.postponed += 1
            job.status, job.due_at = PENDING, self.now + seconds
            return []
        job.attempt += 1
        job.wrong.append((job.attempt, False))
        self.counted += 1
        job.status, job.finished_at, job.answer = FAILED, self.now, None
        why = lifecycle.too_late(job.postponed)
        return [FailedAttempt(id, self.lanes[job.place], job.attempt, why, None)]

    def park(self, id: int, seconds: float, secret: str | None) -> None:
        until = None if secret is None else self.now + seconds
        self.jobs[id].awaiting = secret, self.now - 2, self.now, until
        self.jobs[id].answer = None

    def end(self, id: int) -> None:
        job = self.jobs[id]
        if id in self.claimed():
            job.cancelled = True
            return
        self.counted += job.awaiting is not None
        job.awaiting = job.answer = None
        job.attempt += 1
        job.wrong.append((job.attempt, False))
        job.status, job.finished_at = FAILED, self.now

    def stop(self, id: int, *, started: bool) -> FailedAttempt:
        job = self.jobs[id]
        job.attempt += 1
        job.wrong.append((job.attempt, False))
        self.counted += started
        job.status, job.finished_at, job.cancelled = FAILED, self.now, False
        job.answer = None
        return FailedAttempt(id, self.lanes[job.place], job.attempt, CANCELLED, None)

    def fail(self, id: int, chance: float, error: str = "") -> FailedAttempt:
        job = self.jobs[id]
        error = error or f"E{id}"
        job.answer = None
        job.attempt += 1
        job.wrong.append((job.attempt, False))
        self.counted += 1
        spent = job.attempt - job.forgiven
        if spent > job.retries or job.cancelled:
            job.status, job.finished_at, job.cancelled = FAILED, self.now, False
            return FailedAttempt(id, self.lanes[job.place], job.attempt, error, None)
        exact = min(job.retry_after * 2 ** (spent - 1), DAY)
        [[due_at]] = self.rows(f"SELECT due_at FROM declaration WHERE id = {id}")
        assert due_at == pytest.approx(self.now + exact * (0.9 + chance / 5), abs=1e-3)
        job.status, job.due_at = PENDING, due_at
        return FailedAttempt(id, self.lanes[job.place], job.attempt, error, due_at)

    def crash(self, id: int) -> None:
        job = self.jobs[id]
        job.attempt += 1
        job.wrong.append((job.attempt, True))
        self.counted += 1
        if job.crashes <= 5:
            job.status, job.due_at = PENDING, self.now
        else:
            job.status, job.finished_at, job.answer = FAILED, self.now, None

    def come_back(self, id: int, *, free: bool) -> None:
        job = self.jobs[id]
        if free and job.returns == 20:
            job.attempt += 1
            job.wrong.append((job.attempt, False))
            job.status, job.finished_at, job.answer = FAILED, self.now, None
        else:
            job.status = PENDING
            job.returns += free

    def refuse(self, worker: int, id: int, *, apart: bool) -> None:
        job = self.jobs[id]
        if apart:
            job.fields = "to"
            self.see_lanes()
        self.refused.add((worker, self.lanes[job.place]))

    def refresh(self, id: int) -> None:
        job = self.jobs[id]
        job.status, job.due_at, job.finished_at = PENDING, self.now, None
        job.forgiven, job.returns, job.postponed = job.attempt, 0, 0
        job.told, job.tries = False, 0

    def leave(self, token: int, id: int) -> None:
        self.claims[token].remove(id)
        if not self.claims[token]:
            del self.claims[token]
        self.jobs[id].token = self.jobs[id].running = self.jobs[id].suspended = None

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
                *job.lane[:4], job.fields, codes[job.status], job.due_at, job.payload, job.retries,
                job.retry_after, job.timeout, job.attempt, job.forgiven, job.returns,
                job.finished_at, job.result, job.postponed,
            )
            for id, job in self.jobs.items()
        }  # fmt: skip

    @invariant()
    def every_open_declaration_stands_in_exactly_one_place(self) -> None:
        pending = self.rows("SELECT declaration, lane, due_at FROM pending")
        assert len(pending) == len({id for id, *_ in pending})
        assert set(pending) == {
            (id, self.lanes[self.jobs[id].place], self.jobs[id].due_at) for id in self.of(PENDING)
        }
        claims = self.rows("SELECT token, worker, declarations FROM claim")
        assert {token: json.loads(ids) for token, _, ids in claims} == self.claims
        assert all(worker == token // TURNS for token, worker, _ in claims)
        claimed = [id for ids in self.claims.values() for id in ids]
        assert sorted(claimed) == sorted(self.claimed())

    @invariant()
    def what_waits_and_what_was_answered_is_written_down(self) -> None:
        waits = "SELECT declaration, token, started_at, since, until FROM awaiting"
        assert set(self.rows(waits)) == {
            (id, *job.awaiting) for id, job in self.jobs.items() if job.awaiting
        }
        assert set(self.rows("SELECT declaration, data, token FROM answer")) == {
            (id, *job.answer) for id, job in self.jobs.items() if job.answer
        }

    @invariant()
    def what_runs_is_what_was_started_and_is_held(self) -> None:
        assert set(self.rows("SELECT declaration, token, started_at FROM running")) == {
            (id, job.token, job.running) for id, job in self.jobs.items() if job.running is not None
        }

    @invariant()
    def what_is_to_end_is_what_was_cancelled_and_is_held(self) -> None:
        assert set(self.rows("SELECT declaration, token, error FROM cancellation")) == {
            (id, job.token, CANCELLED) for id, job in self.jobs.items() if job.cancelled
        }

    @invariant()
    def what_jobs_have_told_is_kept_with_them(self) -> None:
        steps: dict[int, dict[str, str | None]] = {id: {} for id in self.jobs}
        for id, name, result in self.rows("SELECT declaration, name, result FROM step"):
            steps[id][name] = result
        assert steps == {id: job.steps for id, job in self.jobs.items()}
        assert {id: Progress(*row) for id, *row in self.rows("SELECT * FROM progress")} == {
            id: job.progress for id, job in self.jobs.items() if job.progress is not None
        }

    @invariant()
    def what_stands_still_is_what_was_suspended_and_is_held(self) -> None:
        assert set(self.rows("SELECT declaration, token, since FROM suspension")) == {
            (id, job.token, job.suspended)
            for id, job in self.jobs.items()
            if job.suspended is not None
        }

    @invariant()
    def lanes_are_left_out_by_whom_they_were_refused(self) -> None:
        assert set(self.rows("SELECT worker, lane FROM refusal")) == self.refused

    @invariant()
    def every_attempt_that_has_ended_is_counted_once(self) -> None:
        [[counted]] = self.rows("SELECT coalesce(sum(attempts), 0) FROM histogram")
        assert counted == self.counted

    @invariant()
    def the_tally_is_the_number_of_rows(self) -> None:
        counts = Counter((job.place, job.status) for job in self.jobs.values())
        waits = Counter(job.place for job in self.jobs.values() if job.awaiting)
        for id, queue, name, priority, home, fields, awaiting, *tally in self.rows(
            "SELECT id, queue, name, priority, directory, fields, awaiting,"
            " pending, processing, completed, failed FROM lane"
        ):
            key = Lane(queue, name, priority, home), fields
            assert self.lanes[key] == id
            assert tally == [counts[key, s] for s in Status]
            assert awaiting == waits[key]

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
            records = self.current.history.newest(Filter(status), 10_000)
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

    def report(self, reported: Reported) -> list[tuple[int, int]]:
        with self.current.database.writing():
            return self.current.claims.report(reported, self.now)

    def rows(self, query: str) -> list[Any]:
        return self.repositories[0].database.execute(query).fetchall()

    def everything(self) -> list[Any]:
        tables = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [(table, self.rows(f"SELECT * FROM {table}")) for (table,) in tables]

    def open(self) -> list[int]:
        return [*self.of(PENDING), *self.of(PROCESSING)]

    def claimed(self) -> list[int]:
        return [id for id in self.of(PROCESSING) if not self.jobs[id].awaiting]

    def awaiting(self) -> list[int]:
        return [id for id, job in self.jobs.items() if job.awaiting]

    def not_due(self) -> list[int]:
        return [id for id in self.of(PENDING) if self.jobs[id].due_at > self.now]

    def of(self, status: Status) -> list[int]:
        return [id for id, job in self.jobs.items() if job.status is status]

    def some(self, data: st.DataObject) -> tuple[int, list[int]]:
        """Some of what one claim holds."""
        token = data.draw(st.sampled_from(sorted(self.claims)))
        ids = data.draw(st.lists(st.sampled_from(self.claims[token]), min_size=1, unique=True))
        return token, ids


KINDS = (
    "completed", "failed", "free", "kept", "unfit", "unknown", "later", "parked", "parked",
)  # fmt: skip
STORED = """
    SELECT d.id, queue, name, priority, directory, fields, status, due_at, payload, retries,
        retry_after, timeout, attempt, forgiven, returns, finished_at, result, postponed
    FROM declaration AS d JOIN lane ON lane.id = d.lane"""


def test_no_order_of_events_makes_the_store_and_a_plain_model_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "EXACT_ROWS", 3)  # so that lists go beyond it
    monkeypatch.setattr(lifecycle, "MAX_LATER", 2)  # so that it is reached
    template = tmp_path / "template"
    repository = SQLiteRepository(str(template))
    specs = [NOOP._replace(name=name) for name in NAMES]
    for directory in DIRECTORIES:
        repository.catalog.record(directory, {}, (), specs)
    with repository.database.writing():
        repository.claims._hooks.learn([HOOKED], [HOOKED], DIRECTORIES[1:])
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
