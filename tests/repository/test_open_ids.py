"""Which declarations have not ended, and where many of them stand."""

from __future__ import annotations

from typing import Any

import pytest

from prokerja.errors import NotFound, RequestError, WaitedTooLong
from prokerja.model.declaration import Lane
from prokerja.verdicts import Completed, Parked
from prokerja.waiting import wait_for_batch
from tests.repository.harness import COMPLETED, PENDING, PROCESSING, START, Store, asked

MANY = 50_001
"""More than any list goes through one by one."""
MAIL = Lane("mail", "send", 7)


def complete_all(store: Store, count: int) -> None:
    """Claim so many, and complete them."""
    taken = store.take(count)
    [token] = {token for token, _ in taken.values()}
    done = Completed(store.now - 1, store.now)
    store.settle(token, *[(id, lane, done) for id, (_, lane) in taken.items()])


def one_of_each(store: Store, **options: Any) -> tuple[list[int], list[int]]:
    """The ids of those that are open, and of those that have ended."""
    done, failed, parked, claimed = store.declare(*[asked(**options) for _ in range(4)])
    store.complete(done)
    store.fail(failed)
    taken = store.take()
    token, lane = taken[parked]
    store.settle(token, (parked, lane, Parked(store.now - 1, store.now, None)))
    waiting = store.declare(
        asked(**options),
        asked(due_at=START + 1000, **options),
        asked(hold=True, **options),
        asked(after=(claimed,), **options),
    )
    return [parked, claimed, *waiting], [done, failed]


@pytest.mark.parametrize("options", [{}, {"label": "l"}, {"batch": "b"}])
def test_every_job_that_has_not_ended_is_open_however_it_waits(
    store: Store, options: dict[str, Any]
) -> None:
    found, _ = one_of_each(store, **options)
    called = options.get("label"), options.get("batch")
    assert store.repository.open_ids(None, *called) == found
    assert store.repository.open_ids("default", *called) == found
    assert store.repository.open_ids("mail", *called) == []
    assert len(found) == sum(store.counts()[:2])


def test_what_is_open_is_told_of_a_queue_a_label_a_batch_or_all_of_these(store: Store) -> None:
    store.declare(
        asked(MAIL, label="l", batch="b"),
        asked(Lane("default", "send", 0), label="l", batch="b"),
        asked(MAIL, label="l"),
        asked(MAIL, batch="b"),
        asked(Lane("mail", "noop", 0)),
    )
    for given, ids in {
        (None, None, None): [1, 2, 3, 4, 5],
        ("mail", None, None): [1, 3, 4, 5],
        (None, "l", None): [1, 2, 3],
        (None, None, "b"): [1, 2, 4],
        (None, "l", "b"): [1, 2],
        ("mail", "l", "b"): [1],
        ("x", None, None): [],
        (None, "x", None): [],
        (None, "l", "x"): [],
    }.items():
        assert store.repository.open_ids(*given) == ids, given


def test_an_old_member_of_a_large_batch_is_open_and_waited_for(store: Store) -> None:
    store.declare(asked(batch="b", label="l", hold=True))
    store.declare(*[asked(batch="b", label="l")] * MANY)
    complete_all(store, MANY)
    assert store.repository.open_ids(None, None, "b") == [1]
    assert store.repository.open_ids(None, "l", None) == [1]
    with pytest.raises(WaitedTooLong, match="job 1 has not ended"):
        wait_for_batch(store.repository, "b", 0.0)
    store.repository.cancel([1], "no", store.now)
    assert wait_for_batch(store.repository, "b", 0.0) == {"completed": MANY, "failed": 1}


def test_statuses_are_those_of_each_job_in_the_order_of_the_ids(store: Store) -> None:
    found, ended = one_of_each(store)
    ids = [*found, *ended]
    statuses = store.repository.statuses(ids)
    assert statuses == {id: store.one(id).status for id in ids}
    assert list(statuses) == ids
    assert [statuses[id] for id in found] == [PROCESSING, PROCESSING] + [PENDING] * 4


@pytest.mark.parametrize("id", [0, -1, 99, 2**63, 2**70])
def test_the_first_that_is_not_there_is_named_whatever_its_number(store: Store, id: int) -> None:
    store.declare()
    with pytest.raises(NotFound, match=f"^there is no job {id};"):
        store.repository.statuses([1, id, 100])


def test_every_verb_says_of_a_purged_job_that_it_was_purged(store: Store) -> None:
    store.declare(asked(), asked())
    store.complete(1)
    store.purge(COMPLETED, store.now + 1)
    verbs, now = store.repository, store.now
    for ask in (
        lambda: verbs.find(1, now),
        lambda: verbs.conditions(1, now),
        lambda: verbs.read(1),
        lambda: verbs.statuses([2, 1]),
        lambda: verbs.retry([1], now),
        lambda: verbs.cancel([1], "", now),
        lambda: verbs.hold([1]),
        lambda: verbs.release([1]),
        lambda: verbs.resolve(1, "1", None, now),
        lambda: verbs.suspend([1], now),
    ):
        with pytest.raises(NotFound, match=r"^job 1 has been purged;"):
            ask()
    with pytest.raises(RequestError, match=r"^job 1 has been purged;"):
        store.declare(asked(after=(1,)))
