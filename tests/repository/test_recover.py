"""What becomes of the jobs of dead workers, and of those that come back."""

from __future__ import annotations

from prokerja.lifecycle import WORKER_DIED
from prokerja.verdicts import Released
from tests.repository.harness import FAILED, PENDING, PROCESSING, START, Store, asked


def test_a_dead_workers_jobs_come_back_at_once_and_only_running_ones_used_an_attempt(
    store: Store,
) -> None:
    waited, ran = store.declare(asked(), asked(retries=0, retry_after=1000))
    token = store.take()[ran][0]
    store.begin(token, ran)
    store.now += 5
    assert store.recover(store.join()) == 0
    assert store.recover() == 2
    assert store.recover() == 0
    assert [store.one(id).status for id in (waited, ran)] == [PENDING, PENDING]
    assert [store.one(id).attempts for id in (waited, ran)] == [0, 1]
    assert [store.one(id).returns for id in (waited, ran)] == [1, 0]
    [attempt] = store.attempts(ran)
    assert attempt == (1, 1, START, START + 5, WORKER_DIED, None, None, None, None)
    assert set(store.take()) == {waited, ran}


def test_recovery_leaves_the_claims_of_other_workers(store: Store) -> None:
    store.declare(asked(), asked(), asked())
    workers = [store.join() for _ in range(3)]
    held = [list(store.take(1, worker=worker)) for worker in workers]
    assert store.recover(workers[1]) == 1
    assert [store.one(id).status for [id] in held] == [PROCESSING, PENDING, PROCESSING]


def test_a_job_that_kills_six_workers_is_set_aside(store: Store) -> None:
    [id] = store.declare(asked(retries=0))
    for death in range(1, 7):
        [(token, _)] = store.take().values()
        store.begin(token, id)
        store.recover()
        assert store.one(id).attempts == death
        assert store.one(id).status is (PENDING if death <= 5 else FAILED)
    assert store.one(id).error == WORKER_DIED
    store.repository.retry([id], store.now)
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
    store.repository.retry([id], store.now)
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
