"""What is written down of jobs and workers, and how it is read back."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import repository
from prokerja.errors import NotFound
from prokerja.events import (
    Awaiting,
    Cancelled,
    CodeChanged,
    Completed,
    Declared,
    Event,
    Expired,
    Failed,
    Interrupted,
    JobEvent,
    Paused,
    Position,
    Postponed,
    Progressed,
    Recovered,
    Resolved,
    Resumed,
    Retried,
    Started,
    WorkerStarted,
    WorkerStopped,
)
from prokerja.model.claim import Reported
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.progress import Progress
from prokerja.verdicts import Completed as Done
from prokerja.verdicts import Failed as Lost
from prokerja.verdicts import Parked, Released
from prokerja.verdicts import Postponed as Later
from tests.repository.harness import COMPLETED, FAILED, PENDING, START, Store, asked

if TYPE_CHECKING:
    from pathlib import Path

MANY = 350
"""More rows than are deleted at once."""


def told(store: Store, after: Position | None = None) -> list[Event]:
    """What has happened after a place, by default after the start of the store's worker."""
    place = Position.read("1.1.0") if after is None else after
    assert place is not None
    return store.repository.events(place, 1_000_000)


def in_short(events: list[Event]) -> list[tuple[Any, ...]]:
    """Their kinds, and the ids of jobs."""
    return [
        (type(event), event.id) if isinstance(event, JobEvent) else (type(event),)
        for event in events
    ]


def facts(event: Event) -> dict[str, Any]:
    """What it tells, but for its place."""
    return {name: value for name, value in vars(event).items() if name != "cursor"}


def test_a_job_that_completes_is_declared_started_and_completed(store: Store) -> None:
    [id] = store.declare(asked(Lane("mail", "send", 0)))
    store.now += 10
    store.complete(id)
    declared, started, completed = told(store)
    job = {"id": id, "job": "send", "queue": "mail"}
    assert (type(declared), facts(declared)) == (Declared, {"at": START, **job})
    at = {"at": START + 9, "attempt": 1}
    assert (type(started), facts(started)) == (Started, {**at, **job})
    assert (type(completed), facts(completed)) == (Completed, {**at, "at": START + 10, **job})


def test_a_start_that_was_noted_is_told_then_and_not_again(store: Store) -> None:
    one, other = store.declare(asked(), asked())
    claimed = store.take()
    token, lane = claimed[one]
    store.begin(token, one)
    store.begin(token, one)
    assert in_short(told(store))[2:] == [(Started, one)]
    store.settle(token, (other, lane, Done(START, START)), (one, lane, Done(START, START)))
    assert in_short(told(store))[3:] == [(Started, other), (Completed, other), (Completed, one)]


def test_a_failed_attempt_is_told_with_what_becomes_of_the_job(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=60.0))
    store.fail(id, error="ValueError: no\nand more")
    store.now += 100
    store.fail(id)
    store.repository.retry([id], store.now)
    events = told(store)
    kinds = [Declared, Started, Failed, Started, Failed, Retried]
    assert in_short(events) == [(kind, id) for kind in kinds]
    failed, for_good = (facts(events[place]) for place in (2, 4))
    assert (failed["attempt"], failed["error"], failed["retry_at"]) == (
        1, "ValueError: no", START + 60,
    )  # fmt: skip
    assert (for_good["attempt"], for_good["retry_at"]) == (2, None)
    assert [event.attempt for event in events if isinstance(event, Started)] == [1, 2]


def test_what_a_job_has_told_of_its_progress_is_told(store: Store) -> None:
    [id] = store.declare()
    token, _ = store.take()[id]
    progress = Progress(1, 3, 9, "of nine", START)
    reported = Reported(progress=[((token, id), progress)])
    store.repository.turn(store.worker, {}, (), None, store.now, reported=reported)
    [*_, event] = told(store)
    assert isinstance(event, Progressed)
    assert (event.id, event.attempt, event.done, event.total, event.text) == (
        id, 1, 3, 9, "of nine",
    )  # fmt: skip


def test_a_job_that_is_to_go_on_later_is_not_told_as_failed(store: Store) -> None:
    later, parked = store.declare(asked(), asked())
    for id, (token, lane) in store.take().items():
        ended = Later(START, START, 5.0) if id == later else Parked(START, START, 7.0, "x")
        store.settle(token, (id, lane, ended))
    store.repository.resolve(parked, "1", None, store.now)
    events = told(store)
    assert in_short(events)[2:] == [
        (Started, later), (Postponed, later), (Started, parked), (Awaiting, parked),
        (Resolved, parked),
    ]  # fmt: skip
    assert facts(events[3])["due_at"] == START + 5
    assert facts(events[5])["until"] == START + 7


def test_a_wait_that_is_over_is_a_failure_and_no_other_start(store: Store) -> None:
    [id] = store.declare()
    token, lane = store.take()[id]
    store.settle(token, (id, lane, Parked(START, START, 7.0, None)))
    store.now += 8
    store.take()
    assert in_short(told(store))[1:] == [(Started, id), (Awaiting, id), (Failed, id)]


def test_jobs_that_end_unstarted_are_told_by_the_reason(store: Store) -> None:
    cancelled, expired, parent = store.declare(asked(), asked(expires_at=START + 5), asked())
    [child] = store.declare(asked(after=(parent,)))
    store.repository.cancel([cancelled], "cancelled: no", store.now)
    store.now += 6
    store.take(0)
    store.repository.cancel([parent], "cancelled", store.now)
    events = told(store)
    assert in_short(events)[4:] == [
        (Cancelled, cancelled), (Expired, expired), (Cancelled, parent), (Failed, child),
    ]  # fmt: skip
    assert facts(events[4])["error"] == "cancelled: no"
    assert facts(events[-1])["attempt"] == 0


def test_a_running_job_that_is_cancelled_is_told_once_it_has_ended(store: Store) -> None:
    one, other = store.declare(asked(retries=3), asked(retries=3))
    claimed = store.take()
    token, lane = claimed[one]
    store.repository.cancel([one, other], "cancelled", store.now)
    assert in_short(told(store))[2:] == []
    lost = Lost(START, START, "killed")
    store.settle(token, (one, lane, lost), (other, lane, Released(counted=True)))
    assert in_short(told(store))[2:] == [(Started, one), (Cancelled, one), (Cancelled, other)]


def test_what_comes_back_is_told_apart_by_why(store: Store) -> None:
    untouched, interrupted, running, waiting = store.declare(*[asked()] * 4)
    claimed = store.take()
    token, lane = claimed[untouched]
    store.settle(
        token,
        (untouched, lane, Released(counted=False)),
        (interrupted, lane, Released(counted=True)),
    )
    store.begin(token, running)
    dead = store.worker
    store.recover()
    events = told(store)[4:]
    assert in_short(events) == [
        (Interrupted, interrupted), (Started, running), (Recovered, running),
        (Recovered, waiting), (WorkerStopped,), (WorkerStarted,),
    ]  # fmt: skip
    ends = [event for event in events if isinstance(event, Recovered)]
    assert [(event.worker, event.attempt) for event in ends] == [(dead, 1), (dead, None)]
    [stopped] = [event for event in events if isinstance(event, WorkerStopped)]
    assert (stopped.worker, stopped.died) == (dead, True)


def test_a_dead_worker_is_told_of_once_however_many_have_noticed(store: Store) -> None:
    dead = store.join()
    store.recover(dead)
    store.recover(dead)
    stopped = [event for event in told(store) if isinstance(event, WorkerStopped)]
    assert [(event.worker, event.died) for event in stopped] == [(dead, True)]


def test_follow_ups_come_after_what_has_declared_them(store: Store) -> None:
    [id] = store.declare()
    token, lane = store.take()[id]
    follow_up = Declaration(Lane("default", "noop", 0), "{}", 0.0, 0, 10.0, None)
    store.settle(token, (id, lane, Done(START, START, None, (follow_up,))))
    assert in_short(told(store))[1:] == [(Started, id), (Completed, id), (Declared, id + 1)]


def test_a_job_that_cannot_begin_is_declared_before_it_fails(store: Store) -> None:
    [parent] = store.declare()
    store.repository.cancel([parent], "cancelled", store.now)
    [child] = store.declare(asked(after=(parent,)))
    assert in_short(told(store))[2:] == [(Declared, child), (Failed, child)]


def test_from_each_cursor_the_rest_is_told(store: Store) -> None:
    store.declare(*[asked()] * 3)
    store.declare(asked(Lane("mail", "send", 0)))
    for id, (token, lane) in store.take(3).items():
        store.settle(token, (id, lane, Done(START, START)))
    store.complete(*store.declare())
    events = told(store)
    assert len(events) > 12
    places = [place for event in events if (place := Position.read(event.cursor))]
    assert places == sorted(set(places))
    assert len(places) == len(events)
    for n, place in enumerate(places, 1):
        assert told(store, place) == events[n:]
        assert store.repository.events(Position(), n) == [*told(store, Position())[:n]]


def test_pauses_of_queues_are_told(store: Store) -> None:
    store.repository.pause_queue("mail", store.now, "ann", "full", START + 60)
    store.repository.resume_queue("mail", store.now, "bob")
    store.repository.pause_queue("mail", store.now, "ann", None, START + 1)
    store.now += 2
    store.declare()
    store.take()
    paused, resumed, _, _, over = told(store)
    assert facts(paused) == {
        "at": START, "queue": "mail", "by": "ann", "why": "full", "until": START + 60,
    }  # fmt: skip
    assert (type(paused), type(resumed), type(over)) == (Paused, Resumed, Resumed)
    assert facts(resumed) == {"at": START, "queue": "mail", "by": "bob"}
    assert facts(over) == {"at": store.now, "queue": "mail", "by": None}


def test_changes_of_code_are_told(store: Store) -> None:
    store.repository.code_changed(store.worker, ["a.py", "b.py"], None, store.now)
    store.repository.code_changed(store.worker, ["a.py"] * 101, "no" * 200, store.now)
    good, ill = told(store)
    assert type(good) is CodeChanged
    assert facts(good) == {
        "at": START, "worker": store.worker, "files": ("a.py", "b.py"), "error": None,
    }  # fmt: skip
    assert len(facts(ill)["files"]) == 100
    assert len(facts(ill)["error"]) == 300


def test_a_transaction_that_fails_tells_nothing(store: Store) -> None:
    [id] = store.declare()
    store.fail(id)
    before = told(store)
    with pytest.raises(NotFound, match="no job 99"):
        store.repository.retry([id, 99], store.now)
    assert told(store) == before
    store.declare()
    store.complete(2)
    assert in_short(told(store))[len(before) :] == [(Declared, 2), (Started, 2), (Completed, 2)]


def test_one_may_begin_at_a_moment(store: Store) -> None:
    ids = []
    for _ in range(20):
        ids += store.declare()
        store.complete(ids[-1])
        store.now += 10
    place = store.repository.event_position(START + 95)
    assert in_short(told(store, place)) == [
        (kind, id) for id in ids[10:] for kind in (Declared, Started, Completed)
    ]
    assert told(store, store.repository.event_position(None)) == []
    assert told(store, store.repository.event_position(START - 1)) == told(store, Position())
    assert told(store, store.repository.event_position(START + 1000)) == []


def test_an_empty_store_has_nothing_to_tell(tmp_path: Path) -> None:
    with closing(repository.open(str(tmp_path / "empty"))) as empty:
        for since in (None, START):
            assert empty.events(empty.event_position(since), 9) == []
        assert empty.events(Position(), 9) == []


def test_what_has_been_purged_is_told_as_far_as_its_end_tells_of_it(store: Store) -> None:
    [id, never] = store.declare(asked(), asked(due_at=START + 9))
    store.complete(id)
    store.now += 10
    store.purge(COMPLETED, store.now)
    store.purge(PENDING, store.now)
    events = told(store)
    assert in_short(events) == [(Declared, id), (Started, id), (Completed, id)], never
    assert facts(events[1])["attempt"] is None
    [new] = store.declare()
    assert in_short(told(store))[3:] == [(Declared, new)]


def test_events_are_kept_as_long_as_jobs_and_the_last_one_for_good(store: Store) -> None:
    keep = {COMPLETED: 1000.0, FAILED: 3000.0}
    store.complete(*store.declare(*[asked()] * MANY))
    store.now += 3000
    store.repository.purge_old(keep, store.now, 10.0)
    assert in_short(told(store, Position()))[-1] == (Completed, MANY), "not before its time"
    store.now += 1
    place = store.repository.event_position(None)
    store.repository.purge_old(keep, store.now, 10.0)
    last = [(kind, MANY) for kind in (Declared, Started, Completed)]
    assert in_short(told(store, Position())) == last
    store.complete(*store.declare())
    assert in_short(told(store, place)) == [
        (kind, MANY + 1) for kind in (Declared, Started, Completed)
    ]


def test_a_store_without_a_log_writes_nothing_down(tmp_path: Path) -> None:
    path = str(tmp_path / "q")
    with closing(repository.open(path, events=False)) as quiet:
        quiet.declare([asked(), asked()], START)
        quiet.cancel([1], "cancelled", START)
        assert in_short(quiet.events(Position(), 9)) == [(Declared, 1), (Declared, 2)]
    with closing(repository.open(path)) as other:
        other.cancel([2], "cancelled", START)
        assert in_short(other.events(Position(), 9))[2:] == [(Cancelled, 2)]
