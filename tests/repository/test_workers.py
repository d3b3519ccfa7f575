"""Workers on the books, how the living are told from the dead, and what wakes those who wait."""

from __future__ import annotations

import os
import time
from contextlib import closing

import pytest

from prokerja.errors import NotFound
from prokerja.model.declaration import Lane
from prokerja.model.worker import Taking
from prokerja.verdicts import Completed, Ended, Failed
from tests.harness.waiting import PATIENCE
from tests.repository.harness import COMPLETED, PENDING, START, Store, asked, open_store


def test_a_worker_is_on_the_books_from_its_first_moment_to_its_last(store: Store) -> None:
    taking = Taking(("mail",), (), ("/jobs",))
    membership = store.repository.join(4711, START + 1, 3, taking)
    store.repository.learn(membership.worker, ["send"])
    [_, row] = store.repository.workers()
    assert (row.id, row.pid, row.started_at) == (membership.worker, 4711, START + 1)
    assert (row.realizers, row.taking) == (3, Taking(("mail",), ("send",), ("/jobs",)))
    store.repository.leave(membership, store.now)
    assert [row.id for row in store.repository.workers()] == [store.worker]


def test_a_worker_is_dead_once_its_lock_is_let_go(store: Store) -> None:
    membership = store.repository.join(os.getpid(), START, 1, Taking())
    with closing(store.repository.watch()) as watch:
        both = [store.worker, membership.worker]
        assert store.repository.find_dead(both, watch)[0] == []
        assert len(store.repository.summary(None, START).workers) == 2
        os.close(membership.lock)
        assert store.repository.find_dead(both, watch)[0] == [membership.worker]
        assert [one.id for one in store.repository.summary(None, START).workers] == [store.worker]


def test_what_a_dead_worker_had_ended_is_settled_and_only_the_rest_goes_back(store: Store) -> None:
    good, bad, rest = store.declare(asked(), asked(), asked())
    taken = store.take()
    token, _ = taken[good]
    ended: dict[tuple[int, int], Ended] = {
        (token, good): Completed(START, START + 1, '"done"', (asked(Lane("mail", "send", 0)),)),
        (token, bad): Failed(START, START + 1, "ValueError: no"),
        (token, 99): Completed(START, START + 1, '"never claimed"'),
        (token + 1, rest): Completed(START, START + 1, '"of another claim"'),
    }
    [recovered] = store.repository.recover([store.worker], {store.worker: ended}, START + 2)
    assert sorted(id for id, *_ in recovered.settled) == [good, bad]
    assert [one.id for one in recovered.failed] == [bad]
    assert (recovered.returned, recovered.worker, recovered.left) == (1, store.worker, None)
    assert (store.one(good).status, store.one(good).result) == (COMPLETED, '"done"')
    assert store.one(rest).status is PENDING
    assert store.newest(queue="mail") == [4]
    assert store.repository.workers() == []


def test_statuses_are_told_together_or_the_first_missing_id_is_named(store: Store) -> None:
    store.declare(asked(), asked())
    store.complete(1)
    assert store.repository.statuses([2, 1]) == {2: PENDING, 1: COMPLETED}
    with pytest.raises(NotFound, match="there is no job 7"):
        store.repository.statuses([1, 7, 8])


def test_a_write_wakes_those_who_wait(store: Store) -> None:
    with closing(store.repository.watch()) as watch, closing(open_store(store.path)) as other:
        other.declare((asked(),), START)
        began = time.monotonic()
        watch.wait(PATIENCE)
        assert time.monotonic() - began < PATIENCE
