"""What is declared: stored as it was asked for, all or nothing, under ids of its own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from prokerja.errors import ProkerjaError
from prokerja.model import Declaration, Lane
from prokerja.repository.sqlite.declarations import CHUNK_ROWS
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.repository.harness import COMPLETED, LANES, PENDING, START, Store, asked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    assert list(store.repository.declarations.add([], store.now)) == []
    assert store.everything() == before


def test_a_bulk_larger_than_a_chunk_gets_ids_in_order(store: Store) -> None:
    count = CHUNK_ROWS + 7
    requests = (asked(LANES[n % 3], payload=f'{{"n":{n}}}') for n in range(count))
    assert store.repository.declarations.add(requests, store.now) == range(1, count + 1)
    assert store.rows("SELECT min(id - json_extract(payload, '$.n')), count(*) FROM declaration")
    wrong = store.rows(
        "SELECT count(*) FROM declaration WHERE json_extract(payload, '$.n') <> id - 1"
    )
    assert wrong == [(0,)]
    [tally] = store.repository.lanes.tallies()
    assert tally.pending == count


def test_a_bulk_whose_source_fails_in_the_middle_leaves_nothing(store: Store) -> None:
    def requests() -> Iterator[Declaration]:
        yield from itertools.repeat(asked(Lane("new", "new", 1)), CHUNK_ROWS + 1)
        raise ValueError("the file ended")

    before = store.everything()
    with pytest.raises(ValueError, match="the file ended"):
        store.repository.declarations.add(requests(), store.now)
    assert store.everything() == before
    assert store.declare(asked(Lane("new", "new", 1))) == [1]


@pytest.mark.parametrize("count", [1, 5 * CHUNK_ROWS])
def test_a_bulk_whose_source_declares_bulks_by_itself_comes_after_them(
    store: Store, count: int
) -> None:
    def requests() -> Iterator[Declaration]:
        for n in range(count):
            yield asked(payload=f'{{"n":{n}}}')
            if n % CHUNK_ROWS == 0:
                store.repository.declarations.add(
                    [asked(LANES[1])] * (2 * CHUNK_ROWS + 1), store.now
                )

    ids = store.repository.declarations.add(requests(), store.now)
    inner = -(-count // CHUNK_ROWS) * (2 * CHUNK_ROWS + 1)
    assert ids == range(inner + 1, inner + count + 1)
    query = (
        "SELECT count(*) FROM declaration WHERE id > ? AND json_extract(payload, '$.n') = id - ?"
    )
    found = store.repository.database.execute(query, (inner, inner + 1)).fetchone()
    assert found == (count,)
    assert store.rows("SELECT name FROM sqlite_temp_schema") == []


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
    assert store.repository.declarations.purge(store.lanes(), COMPLETED, START + 1) == 2
    assert store.declare() == [3]


def test_an_id_is_not_used_again_after_the_file_was_closed(store: Store, tmp_path: Path) -> None:
    store.declare(asked(), asked())
    store.repository.declarations.purge(store.lanes(), PENDING, float("inf"))
    store.repository.close()
    store.repository = SQLiteRepository(str(tmp_path / "q.db"))
    assert store.declare() == [3]
