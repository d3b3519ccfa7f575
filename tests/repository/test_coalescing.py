"""Declarations for which another stands, by a key."""

from __future__ import annotations

import pytest

from prokerja.errors import RequestError
from prokerja.model.declaration import Ids, Lane
from tests.repository.harness import FAILED, MANY, PENDING, START, Store, asked

KEYED = asked(coalesce="k")


def test_while_one_is_open_it_stands_for_the_others(store: Store) -> None:
    [first] = store.declare(KEYED)
    ids = store.repository.declare((KEYED,), store.now)
    assert isinstance(ids, Ids)
    assert (list(ids), sorted(ids.coalesced)) == ([first], [first])
    assert store.take().keys() == {first}
    assert store.declare(KEYED) == [first], "it is processing"
    assert store.counts() == [0, 1, 0, 0]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "purge"])
def test_when_it_has_ended_its_key_is_free(store: Store, end: str) -> None:
    [first] = store.declare(KEYED)
    if end == "cancel":
        store.repository.cancel([first], "cancelled", store.now)
    elif end == "purge":
        store.purge(PENDING, store.now + 1)
    else:
        getattr(store, end)(first)
    assert store.declare(KEYED) != [first]


def test_what_comes_back_still_stands_for_its_key(store: Store) -> None:
    [first] = store.declare(asked(coalesce="k", retries=1))
    store.fail(first)
    assert store.declare(KEYED) == [first]
    store.now += 60
    store.take()
    store.recover()
    assert store.declare(KEYED) == [first]


def test_a_key_is_that_of_a_job_in_a_directory(store: Store) -> None:
    lanes = [Lane("default", name, 0, home) for name in ("noop", "send") for home in ("", "/a")]
    ids = store.declare(*(asked(lane, coalesce="k") for lane in lanes))
    assert len(set(ids)) == 4
    elsewhere = asked(Lane("mail", "noop", 5), coalesce="k")
    assert store.declare(elsewhere) == [ids[0]], "whatever queue it is to wait in"


@pytest.mark.parametrize("count", [3, MANY])
def test_within_one_bulk_each_key_is_declared_once(store: Store, count: int) -> None:
    ids = store.repository.declare(
        (asked(coalesce=None if n % 3 == 0 else f"k{n % 2}") for n in range(count)), store.now
    )
    assert isinstance(ids, Ids)
    assert len(ids) == count
    plain, keyed = ids[::3], [id for n, id in enumerate(ids) if n % 3]
    assert len(set(plain)) == len(plain)
    assert len(set(keyed)) == 2
    assert store.counts()[0] == len(plain) + 2


def test_the_newest_payload_and_time_win_while_it_waits(store: Store) -> None:
    newer = asked(coalesce="k", replace=True, payload='{"n": 2}', due_at=START + 60)
    [id] = store.declare(asked(coalesce="k", payload='{"n": 1}'))
    assert store.declare(newer) == [id]
    assert store.take() == {}
    assert (store.one(id).payload, store.one(id).due_at) == ('{"n": 2}', START + 60)
    store.now += 60
    assert store.take().keys() == {id}
    store.declare(newer._replace(payload='{"n": 3}'))
    assert store.one(id).payload == '{"n": 2}', "it has begun"


def test_one_whose_key_has_been_taken_is_not_tried_again(store: Store) -> None:
    [old] = store.declare(KEYED)
    store.fail(old)
    [new] = store.declare(KEYED)
    with pytest.raises(RequestError, match=rf"^job {new} stands for the key of job {old} now"):
        store.repository.retry([old], store.now)
    assert store.repository.retry_failed(None, None, store.now) == 0
    store.complete(new)
    store.repository.retry([old], store.now)
    assert store.declare(KEYED) == [old]


def test_of_several_failed_ones_with_a_key_one_is_tried_again(store: Store) -> None:
    ids = []
    for _ in range(3):
        ids += store.declare(KEYED)
        store.fail(ids[-1])
    assert store.repository.retry_failed(None, None, store.now) == 1
    assert sorted(str(store.one(id).status) for id in ids) == [FAILED, FAILED, PENDING]


def test_a_bulk_that_fails_leaves_no_key_behind(store: Store) -> None:
    with pytest.raises(RequestError):
        store.declare(KEYED, asked(after=(99,)))
    assert store.counts() == [0, 0, 0, 0]
    [id] = store.declare(KEYED)
    assert store.one(id).status is PENDING
