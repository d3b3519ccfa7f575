"""Ending declarations before they have ended by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prokerja.errors import NotFound, RequestError
from prokerja.model.declaration import Lane
from prokerja.model.record import Filter
from prokerja.verdicts import Advice, Completed, Failed, Released
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, START, Store, asked

if TYPE_CHECKING:
    from prokerja.model.claim import Cancellation

WHY = "cancelled: no need"


def cancel(store: Store, *ids: int) -> int:
    """How many of them are yet to be stopped."""
    return store.repository.cancel(ids, WHY, store.now)


def asked_of(store: Store, worker: int) -> list[Cancellation]:
    """What a worker is to stop."""
    return store.repository.requests(worker, START).cancelled


def test_a_pending_declaration_fails_at_once_and_is_not_retried(store: Store) -> None:
    first, second = store.declare(asked(retries=3), asked(due_at=START + 100))
    assert cancel(store, first, second) == 0
    record = store.one(first)
    assert (record.status, record.error, record.attempts) == (FAILED, WHY, 1)
    assert (record.started_at, record.finished_at) == (None, START)
    [attempt] = store.attempts(second)
    assert (attempt.worker, attempt.started_at, attempt.error) == (0, None, WHY)
    assert store.take() == {}
    [tally] = store.repository.summary(None, store.now).queues
    assert (tally.pending, tally.failed) == (0, 2)


def test_a_claimed_one_is_its_workers_to_stop(store: Store) -> None:
    one, other = store.declare(asked(retries=3), asked())
    taken = store.take()
    token, lane = taken[one]
    assert cancel(store, one) == 1
    assert cancel(store, one) == 1
    assert store.one(one).status is PROCESSING
    assert asked_of(store, store.worker) == [(token, one, WHY)]
    assert asked_of(store, store.join()) == []
    stopped = Failed(START, START, WHY, advice=Advice.NEVER)
    store.settle(token, (one, lane, stopped), (other, lane, Completed(START, START)))
    assert (store.one(one).status, store.one(one).error) == (FAILED, WHY)
    assert store.one(other).status is COMPLETED
    assert asked_of(store, store.worker) == []


@pytest.mark.parametrize(
    "verdict",
    [
        Failed(START, START, "by itself"),
        Failed(START, START, "by itself", advice=Advice.LATER),
        Released(counted=False),
        Released(counted=True),
    ],
)
def test_whatever_its_worker_says_it_does_not_come_back(
    store: Store, verdict: Failed | Released
) -> None:
    [id] = store.declare(asked(retries=3, retry_after=0))
    [(token, lane)] = store.take().values()
    cancel(store, id)
    store.settle(token, (id, lane, verdict))
    assert store.one(id).status is FAILED
    assert store.one(id).error == ("by itself" if isinstance(verdict, Failed) else WHY)
    assert asked_of(store, store.worker) == []


def test_what_has_completed_in_the_meantime_has_completed(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    cancel(store, id)
    store.settle(token, (id, lane, Completed(START, START)))
    assert store.one(id).status is COMPLETED
    assert asked_of(store, store.worker) == []


@pytest.mark.parametrize("was_running", [False, True])
def test_it_ends_though_its_worker_has_died(store: Store, was_running: bool) -> None:
    id, other = store.declare(asked(retries=3), asked())
    taken = store.take()
    if was_running:
        store.begin(taken[id][0], id, other)
    cancel(store, id)
    assert store.recover() == 1, "the other one"
    assert (store.one(id).status, store.one(id).error) == (FAILED, WHY)
    assert store.one(other).status is PENDING
    assert store.take().keys() == {other}


def test_a_fresh_start_knows_nothing_of_it(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    cancel(store, id)
    store.settle(token, (id, lane, Released(counted=False)))
    store.repository.retry([id], store.now)
    [(token, lane)] = store.take().values()
    assert asked_of(store, store.worker) == []
    store.settle(token, (id, lane, Released(counted=False)))
    assert store.one(id).status is PENDING


def test_all_are_cancelled_or_none(store: Store) -> None:
    done, open_one = store.declare(asked(), asked(due_at=START + 9))
    store.complete(done)
    with pytest.raises(RequestError, match=f"job {done} has ended"):
        cancel(store, open_one, done)
    with pytest.raises(NotFound, match="there is no job 99"):
        cancel(store, open_one, 99)
    assert store.one(open_one).status is PENDING


def test_all_that_match_are_cancelled_and_no_others(store: Store) -> None:
    mail = Lane("mail", "send", 5)
    ids = store.declare(
        asked(mail, label="x"), asked(mail), asked(label="x"), asked(mail, due_at=START + 9)
    )
    taken = store.take(names={"send"})
    assert set(taken) == {ids[0], ids[1]}

    def cancelled(queue: str | None, label: str | None) -> tuple[int, int]:
        return store.repository.cancel_matching(Filter(None, queue, None, label), WHY, store.now)

    assert cancelled("nowhere", None) == (0, 0)
    assert cancelled(None, "x") == (2, 1)
    assert [store.one(id).status for id in ids] == [PROCESSING, PROCESSING, FAILED, PENDING]
    assert cancelled("mail", None) == (3, 2)
    assert store.one(ids[3]).status is FAILED
    assert len(asked_of(store, store.worker)) == 2
