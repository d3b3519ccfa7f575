"""Declarations that one worker cannot run: it leaves their like alone, others need not."""

from __future__ import annotations

from prokerja.repository.sqlite.lanes import MAX_APART
from prokerja.verdicts import Completed, Refusal, Released
from tests.repository.harness import COMPLETED, NAMES, PENDING, START, Store, asked


def give_back(store: Store, fields: str, *ids: int) -> None:
    """Take what is due, and give these back as unfit, the rest as it was."""
    for id, (token, lane) in store.take().items():
        refusal = Refusal("has an older noop", fields) if id in ids else None
        store.settle(token, (id, lane, Released(counted=False, refusal=refusal)))


def test_it_is_pending_as_before_and_not_offered_to_the_same_worker_again(store: Store) -> None:
    one, other = store.declare(asked(), asked())
    give_back(store, "size", one)
    record = store.one(one)
    assert (record.status, record.attempts, record.returns) == (PENDING, 0, 0)
    assert store.take().keys() == {other}
    assert store.counts() == [1, 1, 0, 0]
    assert [tally.queue for tally in store.repository.summary(None, store.now).queues] == [
        record.lane.queue
    ]
    detail = store.repository.find(one, store.now)
    assert detail is not None
    assert detail.why == f"worker {store.worker} has an older noop; restart it"


def test_another_worker_takes_it_in_its_turn(store: Store) -> None:
    one, other = store.declare(asked(), asked())
    give_back(store, "size", one)
    newer = store.join()
    taken = store.take(worker=newer)
    assert list(taken) == [one, other]
    token, lane = taken[one]
    store.settle(token, (one, lane, Completed(START, START)))
    assert store.one(one).status is COMPLETED
    assert store.one(one).lane == store.one(other).lane


def test_the_same_worker_takes_it_once_it_has_loaded_its_files_anew(store: Store) -> None:
    [one] = store.declare()
    give_back(store, "size", one)
    store.repository.learn(store.worker, NAMES)
    assert store.take().keys() == {one}


def test_without_fields_all_of_its_lane_is_left_out(store: Store) -> None:
    one, other = store.declare(asked(), asked())
    give_back(store, "", one)
    assert store.take() == {}
    assert store.take(worker=store.join()).keys() == {one, other}


def test_what_is_unlike_is_told_apart_and_in_the_end_put_together(store: Store) -> None:
    ids = store.declare(*[asked()] * (MAX_APART + 10))
    for n, id in enumerate(ids):
        give_back(store, f"field {n}", id)
    assert store.take() == {}
    assert store.counts() == [len(ids), 0, 0, 0]
    [late] = store.declare()
    assert store.take().keys() == {late}
    give_back(store, "no other", late)
    assert len(store.take(worker=store.join())) == len(ids)


def test_a_dead_workers_refusals_die_with_it(store: Store) -> None:
    [one] = store.declare()
    give_back(store, "size", one)
    store.recover()
    assert store.take().keys() == {one}
