"""What a turn claims, in what order, and for whom."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from prokerja.errors import StoreError
from prokerja.model.declaration import Lane
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Released
from tests.repository.harness import LANES, START, Store, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed


class TurnedBackError(Exception):
    """A worker cannot take what it is offered."""


def test_jobs_are_claimed_by_queue_then_priority_then_due_time_then_id(store: Store) -> None:
    late_low, early_low, high, mail, same = store.declare(
        asked(Lane("default", "noop", 0), due_at=START + 2),
        asked(Lane("default", "send", 0), due_at=START + 1),
        asked(Lane("default", "noop", 7), due_at=START + 3),
        asked(Lane("mail", "noop", -5), due_at=START + 4),
        asked(Lane("default", "noop", 0), due_at=START + 2),
    )
    store.now = START + 4
    assert list(store.take(5, "mail", "default")) == [mail, high, early_low, late_low, same]


def test_without_named_queues_only_priority_and_due_time_count(store: Store) -> None:
    a, b, c = store.declare(
        asked(Lane("z", "noop", 0)), asked(Lane("a", "noop", 0)), asked(Lane("m", "noop", 1))
    )
    assert list(store.take()) == [c, a, b]


def test_what_is_not_due_yet_is_not_claimed_however_high_its_priority(store: Store) -> None:
    later, now = store.declare(asked(Lane("default", "noop", 1000), due_at=START + 0.001), asked())
    assert list(store.take()) == [now]
    store.now += 0.001
    assert list(store.take()) == [later]


def test_a_worker_takes_only_jobs_that_it_knows(store: Store) -> None:
    store.declare(asked(Lane("default", "noop", 0)), asked(Lane("default", "send", 0)))
    assert list(store.take(names={"send"})) == [2]
    assert store.take(names=set()) == {}


def test_a_worker_takes_no_more_than_it_has_room_for(store: Store) -> None:
    ids = store.declare(*[asked(lane) for lane in LANES[:6]])
    assert len(store.take(4)) == 4
    assert len(store.take(0)) == 0
    assert store.counts() == [len(ids) - 4, 4, 0, 0]
    assert len(store.take(4)) == len(ids) - 4


def test_once_a_worker_leaves_a_job_it_is_offered_nothing_that_ranks_lower(store: Store) -> None:
    high, other, _low = store.declare(asked(LANES[2]), asked(LANES[2]), asked(LANES[1]))
    offers: list[int] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        first = next(offered)
        offers.append(first.id)
        return [first], True

    store.turn(Want(Taking(), choose))
    assert offers == [high]
    assert list(store.take(1)) == [other]


def test_a_turn_that_fails_while_it_claims_leaves_nothing_to_the_next(store: Store) -> None:
    store.declare(asked(LANES[2]), asked(LANES[1]))
    calls = itertools.count()

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        if next(calls):
            raise TurnedBackError
        return list(offered), False

    before = store.everything()
    with pytest.raises(TurnedBackError):
        store.turn(Want(Taking(), choose))
    assert store.everything() == before
    assert len(store.take()) == 2
    assert store.counts() == [0, 2, 0, 0]


def test_a_turn_that_fails_while_it_settles_leaves_nothing_to_the_next(store: Store) -> None:
    good, bad = store.declare(asked(), asked())
    taken = store.take()
    token, lane = taken[good]
    unfit = asked(Lane("new", "new", 1), retries=-1)
    verdicts = [
        (good, lane, Completed(START, START, None)),
        (bad, lane, Completed(START, START, None, (unfit,))),
    ]
    before = store.everything()
    with pytest.raises(StoreError):
        store.settle(token, *verdicts)
    assert store.everything() == before
    store.settle(token, verdicts[0], (bad, lane, Released(counted=False)))
    assert store.counts() == [1, 0, 1, 0]


def test_a_job_is_never_claimed_twice(store: Store) -> None:
    store.declare(asked(), asked())
    assert len(store.take()) == 2
    assert store.take() == {}


def test_when_the_next_job_is_due_is_known(store: Store) -> None:
    def next_due(*names: str) -> float | None:
        return store.turn(Want(Taking((), set(names)), lambda _: ([], False))).next_due

    assert next_due("noop") is None
    store.declare(
        asked(Lane("default", "noop", 0), due_at=START + 9),
        asked(Lane("mail", "noop", 0), due_at=START + 5),
        asked(Lane("mail", "send", 0), due_at=START + 1),
    )
    assert next_due("noop") == START + 5
    assert next_due("noop", "send") == START + 1
