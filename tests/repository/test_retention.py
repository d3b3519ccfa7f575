"""How long what has ended is kept: as the settings say, or as its class does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prokerja.errors import NotFound
from prokerja.lifecycle import MIN_KEPT_SECONDS
from tests.repository.harness import (
    COMPLETED,
    FAILED,
    NOOP,
    SEND,
    START,
    Store,
    asked,
    record,
)

if TYPE_CHECKING:
    from prokerja.model.declaration import Status

KEEP: dict[Status, float] = {COMPLETED: 1000.0, FAILED: 3000.0}


def purge_old(store: Store, seconds: float = 10.0) -> float | None:
    """When there will be more to delete."""
    return store.repository.purge_old(KEEP, store.now, seconds)


def one_of_each(store: Store) -> tuple[int, int]:
    """One that has completed and one that has failed, just now."""
    done, lost = store.declare(asked(), asked())
    store.complete(done)
    store.fail(lost)
    return done, lost


def test_each_status_is_kept_as_long_as_it_is_said(store: Store) -> None:
    done, lost = one_of_each(store)
    assert purge_old(store) == START + 1000
    store.now = START + 1000
    assert purge_old(store) == START + 1000, "not before its time is over"
    store.now += 1
    assert purge_old(store) == START + 3000
    assert store.newest() == [lost]
    with pytest.raises(NotFound, match=f"job {done} has been purged"):
        store.repository.statuses([done])
    store.now = START + 3001
    assert purge_old(store) is None
    assert store.newest() == []


@pytest.mark.parametrize(
    ("own", "kept"), [(0.0, MIN_KEPT_SECONDS), (500.0, 500.0), (9000.0, 9000.0), (None, 1000.0)]
)
def test_a_class_says_for_how_long_its_completed_ones_are_kept(
    store: Store, own: float | None, kept: float
) -> None:
    record(store, NOOP._replace(keep=own), SEND._replace(keep=7.0), directory="")
    _, lost = one_of_each(store)
    assert purge_old(store) == START + min(kept, 3000)
    store.now = START + kept + 1
    purge_old(store)
    assert store.newest() == ([lost] if kept < 3000 else [])


def test_what_is_too_much_for_one_slice_is_deleted_in_several(store: Store) -> None:
    ids = store.declare(*[asked()] * 1003)
    store.complete(*ids)
    store.now += 1001
    left = len(ids)
    slices = 1
    while purge_old(store, 0.0) == store.now:
        assert 0 < len(store.newest()) < left
        left, slices = len(store.newest()), slices + 1
    assert slices > 10
    assert store.newest() == []
    assert store.counts() == [0, 0, 0, 0]


def test_what_somebody_waits_for_is_kept_until_that_has_begun_and_ended(store: Store) -> None:
    parent, member, other = store.declare(asked(), asked(batch="b"), asked(batch="b", hold=True))
    store.complete(parent, member, result="[1]")
    [child] = store.declare(asked(after=(parent,), due_at=START + 5000))
    [last] = store.declare(asked(after_batch="b"))
    store.now = START + 2000
    assert purge_old(store) is None, "nothing more is to go by itself"
    assert store.newest() == [last, child, other, member, parent]
    store.repository.cancel([child, other], "cancelled", store.now)
    purge_old(store)
    assert store.newest() == [last, child, other]
    store.complete(last)
    assert store.one(last).status is COMPLETED
