"""Keeping running declarations from going on, until somebody has them resumed."""

from __future__ import annotations

import pytest

from prokerja.errors import NotFound, NotRunning
from prokerja.verdicts import Advice, Completed, Failed, Released
from tests.repository.harness import FAILED, PENDING, START, Store, asked


def running(store: Store) -> tuple[int, int, int]:
    """One that runs: its id, its claim's token, and its lane."""
    [id] = store.declare(asked(retries=3, retry_after=0))
    [(token, lane)] = store.take().values()
    store.begin(token, id)
    return id, token, lane


def suspend(store: Store, *ids: int) -> None:
    store.repository.suspend(ids, store.now)


def suspended(store: Store) -> set[tuple[int, int]]:
    """What the worker is to keep still."""
    return store.repository.requests(store.worker, START).suspended


def test_a_running_one_is_suspended_until_it_is_resumed(store: Store) -> None:
    id, token, _ = running(store)
    suspend(store, id)
    store.now += 5
    suspend(store, id)
    assert suspended(store) == {(token, id)}
    assert store.repository.requests(store.join(), START).suspended == set()
    assert store.one(id).suspended_at == START
    store.repository.resume([id])
    assert suspended(store) == set()
    assert store.one(id).suspended_at is None
    with pytest.raises(NotRunning, match=f"job {id} is running, and not suspended"):
        store.repository.resume([id])


@pytest.mark.parametrize(
    "verdict",
    [
        Completed(START, START),
        Failed(START, START, "no", advice=Advice.NEVER),
        Released(counted=True),
    ],
)
def test_its_end_ends_the_suspension(store: Store, verdict: Completed | Failed | Released) -> None:
    id, token, lane = running(store)
    suspend(store, id)
    store.settle(token, (id, lane, verdict))
    assert suspended(store) == set()
    assert store.one(id).suspended_at is None


def test_a_dead_workers_goes_back_as_any_other(store: Store) -> None:
    id, *_ = running(store)
    suspend(store, id)
    assert store.recover() == 1
    record = store.one(id)
    assert (record.status, record.suspended_at) == (PENDING, None)
    store.begin(store.take()[id][0], id)
    assert suspended(store) == set()


def test_it_can_be_cancelled(store: Store) -> None:
    id, token, lane = running(store)
    suspend(store, id)
    assert store.repository.cancel([id], "cancelled", store.now) == 1
    store.settle(token, (id, lane, Released(counted=False)))
    assert store.one(id).status is FAILED
    assert suspended(store) == set()


def test_what_does_not_run_is_refused_and_nothing_changes(store: Store) -> None:
    one, *_ = running(store)
    [done] = store.declare()
    store.complete(done)
    [held] = store.declare()
    store.take()
    [pending] = store.declare()
    for id, why in {
        done: "has completed",
        held: "is processing, but has only just begun",
        pending: "is pending, not running",
    }.items():
        for verb in (lambda ids: suspend(store, *ids), store.repository.resume):
            with pytest.raises(NotRunning, match=f"job {id} {why}"):
                verb([id])
        with pytest.raises(NotRunning, match=f"job {id} {why}"):
            suspend(store, one, id)
    with pytest.raises(NotFound, match="there is no job 99"):
        suspend(store, one, 99)
    assert suspended(store) == set()
