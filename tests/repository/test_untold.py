"""Ends of which a job's class wants to hear, and what an attempt of one that has hooks is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model.claim import Ending, Extra, Hooking, Reported
from prokerja.model.declaration import Lane
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import OWED, TOLD, Completed, Failed, HooksEnded, Released
from tests.repository.harness import FAILED, NAMES, PENDING, START, Store, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed
    from prokerja.verdicts import Verdict

NOOP, SEND = Lane("default", "noop", 0), Lane("mail", "send", 0)
FAILS = Failed(START, START, "no")


def all_of(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
    return list(offered), False


def nothing(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
    return [], True


@pytest.fixture
def hooked(store: Store) -> Store:
    """A store whose worker has said that `send` has hooks."""
    store.repository.learn(store.worker, NAMES, ["send"])
    return store


def told(store: Store, **taking: Any) -> dict[tuple[int, int], Ending | None]:
    """Claim the ends that are to be told; by token and id."""
    extras = store.turn(Want(Taking(**taking), nothing, all_of)).extras
    return {claim: extra.hooks.ended for claim, extra in extras.items() if extra.hooks}


def is_told(store: Store, id: int) -> bool:
    detail = store.repository.find(id, store.now)
    assert detail is not None
    return detail.is_told


def end(store: Store, verdict: Verdict, lane: Lane = SEND) -> int:
    """One more declaration that ends with that."""
    [id] = store.declare(asked(lane))
    token, number = store.take()[id]
    store.settle(token, (id, number, verdict))
    return id


def test_what_fails_elsewhere_is_to_be_told_once(hooked: Store) -> None:
    id = end(hooked, FAILS)
    assert end(hooked, FAILS, NOOP)
    assert not is_told(hooked, id)
    [(claim, ending)] = told(hooked).items()
    assert claim[1] == id
    assert ending == Ending("processing", "failed", "no")
    assert told(hooked) == {}, "it is claimed"
    assert hooked.one(id).status is FAILED
    hooked.settle(claim[0], (id, 0, HooksEnded(START, START)))
    assert is_told(hooked, id)
    assert told(hooked) == {}
    assert hooked.one(id).attempts == 1


@pytest.mark.parametrize(
    ("verdict", "is_due"),
    [
        (Failed(START, START, "no", told=TOLD), False),
        (Failed(START, START, "no", told=OWED), True),
        (Completed(START, START), False),
        (Completed(START, START, told=TOLD), False),
        (Completed(START, START, told=OWED), True),
    ],
)
def test_what_its_realizer_has_told_is_not_told_again(
    hooked: Store, verdict: Verdict, is_due: bool
) -> None:
    id = end(hooked, verdict)
    assert is_told(hooked, id) is not is_due
    assert len(told(hooked)) == is_due


def test_a_pending_one_that_is_cancelled_is_told_what_it_was(hooked: Store) -> None:
    [id] = hooked.declare(asked(SEND))
    hooked.repository.cancel([id], "cancelled", hooked.now)
    [ending] = told(hooked).values()
    assert ending == Ending("pending", "failed", "cancelled")


def test_whoever_takes_its_kind_tells_it(hooked: Store) -> None:
    end(hooked, FAILS)
    assert told(hooked, queues=("default",)) == {}
    assert told(hooked, names=("noop",)) == {}
    assert len(told(hooked, queues=("mail",))) == 1


@pytest.mark.parametrize("verdict", [Released(counted=True), HooksEnded(START, START, False)])
def test_hooks_that_have_not_run_are_run_again_five_times_at_most(
    hooked: Store, verdict: Verdict
) -> None:
    id = end(hooked, FAILS)
    for _ in range(5):
        [(token, _)] = told(hooked)
        hooked.settle(token, (id, 0, verdict))
    assert told(hooked) == {}
    assert is_told(hooked, id)


def test_an_orderly_stop_is_no_try(hooked: Store) -> None:
    id = end(hooked, FAILS)
    for _ in range(9):
        [(token, _)] = told(hooked)
        hooked.settle(token, (id, 0, HooksEnded(START, START, False, counted=False)))
    assert len(told(hooked)) == 1


def test_a_dead_workers_are_told_by_another_and_a_late_word_changes_nothing(
    hooked: Store,
) -> None:
    id = end(hooked, FAILS)
    [(token, _)] = told(hooked)
    hooked.recover()
    hooked.settle(token, (id, 0, HooksEnded(START, START)))
    assert not is_told(hooked, id)
    assert len(told(hooked)) == 1


def test_a_fresh_start_forgets_the_end(hooked: Store) -> None:
    id = end(hooked, FAILS)
    hooked.repository.retry([id], hooked.now)
    assert told(hooked) == {}
    assert hooked.one(id).status is PENDING


def test_a_purged_one_is_told_nothing(hooked: Store) -> None:
    end(hooked, FAILS)
    assert hooked.purge(FAILED, START + 1) == 1
    assert told(hooked) == {}


def test_a_class_that_has_lost_its_hooks_is_told_nothing(hooked: Store) -> None:
    hooked.repository.learn(hooked.worker, NAMES, [])
    end(hooked, FAILS)
    assert told(hooked) == {}


def test_an_attempt_is_given_how_many_retries_are_left(store: Store) -> None:
    id, other = store.declare(asked(SEND, retries=2, retry_after=0), asked(NOOP))
    taken: list[Claimed] = []

    def take(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        taken[:] = offered
        return taken.copy(), False

    for left in (2, 1, 0):
        extras = store.turn(Want(Taking(), take, nothing, frozenset(["send"]))).extras
        assert [(one, extra) for (_, one), extra in extras.items()] == [
            (id, Extra(hooks=Hooking(left)))
        ]
        texts = [((taken[0].token, id), "the one"), ((taken[0].token, 99), "nobody")]
        settlements = {taken[0].token: [(one.id, one.lane, FAILS) for one in taken]}
        store.repository.turn(
            store.worker, settlements, (), None, store.now, reported=Reported(descriptions=texts)
        )
    assert store.one(id).description == "the one"
    assert store.one(other).description is None


def test_an_end_is_told_though_its_queue_is_paused(hooked: Store) -> None:
    [id] = hooked.declare(asked(SEND))
    hooked.repository.pause_queue(SEND.queue, hooked.now, "ann", None, None)
    hooked.repository.cancel([id], "cancelled", hooked.now)
    assert [one for _, one in told(hooked)] == [id]
