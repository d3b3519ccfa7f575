"""Declarations that are not to be started late, and those that are changed while they wait."""

from __future__ import annotations

import pytest

from prokerja.errors import NotFound, RequestError
from prokerja.lifecycle import EXPIRED
from prokerja.model.change import Change
from prokerja.model.declaration import Lane
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.slices import SLICE_ROWS
from prokerja.repository.verbs import Want
from prokerja.verdicts import Released
from tests.repository.harness import FAILED, LANES, MANY, PENDING, START, Store, asked

NOTHING = Want(Taking(), lambda offered: ([], True))


def test_what_was_not_started_in_time_fails(store: Store) -> None:
    late, held, free = store.declare(
        asked(expires_at=START + 5, due_at=START + 5),
        asked(expires_at=START + 5, hold=True),
        asked(due_at=START + 9),
    )
    assert store.turn(NOTHING).deadline == START + 5
    store.now += 5
    failed = store.turn(NOTHING).failed
    assert [(one.id, one.error) for one in failed] == [(late, EXPIRED), (held, EXPIRED)]
    assert {store.one(id).status for id in (late, held)} == {FAILED}
    assert store.turn(NOTHING).deadline is None
    assert store.one(free).status is PENDING


def test_what_was_started_in_time_goes_on(store: Store) -> None:
    [id] = store.declare(asked(expires_at=START + 5, retries=1))
    store.fail(id)
    store.now += 60
    assert store.turn(NOTHING).failed == []
    store.complete(id)


def test_what_comes_back_unstarted_fails_then(store: Store) -> None:
    [id] = store.declare(asked(expires_at=START + 5))
    [(token, lane)] = store.take().values()
    store.now += 6
    assert store.turn(NOTHING).failed == []
    assert store.settle(token, (id, lane, Released(counted=True))) != []
    assert store.one(id).error == EXPIRED


def test_one_that_expires_takes_its_children_with_it(store: Store) -> None:
    [parent] = store.declare(asked(expires_at=START + 5, due_at=START + 9))
    [child] = store.declare(asked(after=(parent,)))
    store.now += 5
    assert [one.id for one in store.turn(NOTHING).failed] == [parent, child]


def test_all_of_a_pending_one_can_change(store: Store) -> None:
    [id] = store.declare(asked(Lane("default", "noop", 0, "/a"), timeout=5.0, label="x"))
    columns = {"retries": 4, "retry_after": 2.5, "timeout": None, "label": None, "batch": "b"}
    store.repository.change([id], Change("mail", 7, START + 30, START + 60, columns), store.now)
    record = store.one(id)
    assert record.lane == Lane("mail", "noop", 7, "/a")
    assert (record.due_at, record.retries, record.retry_after) == (START + 30, 4, 2.5)
    assert (record.timeout, record.label, record.batch) == (None, None, "b")
    assert store.take() == {}
    store.now += 30
    assert store.take(10, "mail").keys() == {id}


def test_what_is_blocked_can_change_too(store: Store) -> None:
    [id] = store.declare(asked(LANES[0], hold=True))
    store.repository.change([id], Change(queue="mail", due_at=START - 1), store.now)
    store.repository.release([id])
    assert store.take(10, "mail").keys() == {id}


def test_what_is_not_pending_cannot_change_and_then_none_does(store: Store) -> None:
    taken, done = store.declare(asked(), asked())
    store.complete(done)
    store.take()
    [waits] = store.declare(asked())
    before = store.everything()
    for id in (taken, done):
        with pytest.raises(RequestError, match=f"job {id} is not pending"):
            store.repository.change([waits, id], Change(priority=5), store.now)
    with pytest.raises(NotFound, match="no job 99"):
        store.repository.change([waits, 99], Change(priority=5), store.now)
    assert store.everything() == before


def test_one_that_was_started_and_comes_back_with_its_worker_does_not_expire(store: Store) -> None:
    [id] = store.declare(asked(expires_at=START + 60))
    [(token, lane)] = store.take().values()
    store.begin(token, id)
    store.now += 300
    assert store.settle(token, (id, lane, Released(counted=True))) == []
    assert store.take().keys() == {id}


def test_thousands_expire_in_slices(store: Store) -> None:
    store.declare(*[asked(expires_at=START + 1, due_at=START + 9)] * MANY)
    store.now += 1
    turn = store.turn(NOTHING)
    assert (len(turn.failed), turn.deadline) == (SLICE_ROWS, store.now)
    while turn.deadline is not None:
        turn = store.turn(NOTHING)
    assert store.counts() == [0, 0, 0, MANY]
