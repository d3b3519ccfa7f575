"""What is declared: stored as it was asked for, all or nothing, under ids of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from prokerja.errors import ProkerjaError
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.record import Filter
from tests.repository.harness import (
    COMPLETED,
    LANES,
    MANY,
    PENDING,
    START,
    Store,
    asked,
    open_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_declaration_is_stored_as_it_was_asked_for(store: Store) -> None:
    lane = Lane("mail", "send", 7)
    payload = '{"to":"\\u00e5\\ud800"}'
    [id] = store.declare(
        asked(lane, due_at=START + 60, payload=payload, retries=3, retry_after=1.5, timeout=2.5)
    )
    record = store.one(id)
    assert record[:5] == (1, lane, PENDING, START, START + 60)
    assert (record.retries, record.retry_after, record.timeout) == (3, 1.5, 2.5)
    assert record.payload == payload
    assert (record.attempts, record.started_at, record.finished_at) == (0, None, None)


def test_what_was_due_in_the_past_is_due_now(store: Store) -> None:
    [id] = store.declare(asked(due_at=START - 3600))
    assert store.one(id).due_at == START


def test_declaring_nothing_gives_no_ids_and_changes_nothing(store: Store) -> None:
    before = store.everything()
    assert list(store.repository.declare([], store.now)) == []
    assert store.everything() == before


def test_a_bulk_larger_than_a_chunk_gets_ids_in_order(store: Store) -> None:
    count = MANY + 7
    requests = (asked(LANES[n % 3], payload=f'{{"n":{n}}}') for n in range(count))
    assert store.repository.declare(requests, store.now) == range(1, count + 1)
    records = store.repository.newest(Filter(), count + 1)
    assert {record.id: record.payload for record in records} == {
        n + 1: f'{{"n":{n}}}' for n in range(count)
    }
    assert store.counts() == [count, 0, 0, 0]


def test_a_bulk_whose_source_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    def requests() -> Iterator[Declaration]:
        yield from itertools.repeat(asked(Lane("new", "new", 1)), MANY + 1)
        raise ValueError("the file ended")

    before = store.everything()
    with pytest.raises(ValueError, match="the file ended"):
        store.repository.declare(requests(), store.now)
    assert store.everything() == before
    assert store.declare(asked(Lane("new", "new", 1))) == [1]


@pytest.mark.parametrize("count", [1, 3 * MANY])
def test_a_bulk_whose_source_declares_bulks_by_itself_comes_after_them(
    store: Store, count: int
) -> None:
    def requests() -> Iterator[Declaration]:
        for n in range(count):
            yield asked(payload=f'{{"n":{n}}}')
            if n % MANY == 0:
                store.repository.declare([asked(LANES[1])] * (2 * MANY + 1), store.now)

    ids = store.repository.declare(requests(), store.now)
    inner = -(-count // MANY) * (2 * MANY + 1)
    assert ids == range(inner + 1, inner + count + 1)
    newest = store.repository.newest(Filter(), count)
    assert [record.payload for record in reversed(newest)] == [f'{{"n":{n}}}' for n in range(count)]


@pytest.mark.parametrize(
    "request_",
    [
        asked(retries=-1),
        asked(retries=1001),
        asked(retry_after=-1.0),
        asked(timeout=0.0),
        asked(timeout=-1.0),
        asked(Lane("", "noop", 0)),
        asked(Lane("q" * 256, "noop", 0)),
        asked(Lane("default", "", 0)),
        asked(Lane("default", "noop", 1001)),
    ],
)
def test_what_slipped_through_every_check_is_refused_by_the_store(
    store: Store, request_: Declaration
) -> None:
    before = store.everything()
    with pytest.raises((ProkerjaError, TypeError)):
        store.declare(asked(), request_)
    assert store.everything() == before


def test_an_id_is_not_used_again_when_the_newest_is_purged(store: Store) -> None:
    assert store.declare(asked(), asked()) == [1, 2]
    store.complete(1, 2)
    assert store.purge(COMPLETED, START + 1) == 2
    assert store.declare() == [3]


def test_an_id_is_not_used_again_after_the_store_was_closed(store: Store) -> None:
    store.declare(asked(), asked())
    store.purge(PENDING, float("inf"))
    store.repository.close()
    store.repository = open_store(store.path)
    assert store.declare() == [3]
