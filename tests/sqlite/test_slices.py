"""Verbs that go through many rows do so in slices, between which others write."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prokerja.repository.sqlite import history
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.declarations import CHUNK_ROWS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.slices import SLICE_ROWS
from prokerja.verdicts import Failed
from tests.repository.harness import COMPLETED, FAILED, PENDING, START, asked
from tests.sqlite.store import SQLiteStore, take

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Meddler(SQLiteStore):
    """Whenever a transaction has ended, another worker fails at once all that is due."""

    def meddle(self, times: int) -> None:
        self.left = times
        self.other = SQLiteRepository(self.repository.path)
        self.other.database.durable(False)
        self.turns = itertools.count(9 * TURNS)
        self.repository.database.on_commit.append(self.fail_all)

    def fail_all(self) -> None:
        if not self.left:
            return
        self.left -= 1
        self.now += 1
        token = next(self.turns)
        taken = take(self.other, token, self.now, 10_000)
        with self.other.database.writing():
            verdicts = [(c.id, c.lane, Failed(self.now, self.now, "again")) for c in taken]
            self.other.claims.settle(token, verdicts, self.now, lambda: 0.5)


def test_retrying_all_failed_jobs_ends_though_they_fail_again_meanwhile(tmp_path: Path) -> None:
    store = Meddler(str(tmp_path / "q.db"))
    count = 2 * SLICE_ROWS + 1
    ids = store.declare(*[asked()] * count)
    token, lane = store.take(count)[1]
    store.settle(token, *[(id, lane, Failed(START, START, "no")) for id in ids])
    store.meddle(10)
    lanes = store.repository.lanes.matching(None, None)
    assert store.repository.fresh_starts.retry_failed(lanes, START) == count
    assert store.left == 10 - 3, "three slices, and none of them twice"
    assert {a for (a,) in store.rows("SELECT attempt FROM declaration")} == {2}
    store.other.close()
    store.close()


def test_a_bulk_leaves_no_temporary_table_behind(store: SQLiteStore) -> None:
    store.repository.declare([asked()] * (2 * CHUNK_ROWS + 1), START)
    assert store.rows("SELECT name FROM sqlite_temp_schema") == []


def test_beyond_the_window_a_list_goes_on_with_what_ended_or_is_due_last(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file with more jobs than the window takes long to make; a smaller window does not.
    monkeypatch.setattr(history, "EXACT_ROWS", 2)
    store.declare(*[asked()] * 6)
    for id in (6, 5, 4, 1, 2, 3):
        store.now += 1
        store.complete(id)
    assert store.newest(COMPLETED, limit=2) == [6, 5]
    assert store.newest(COMPLETED, limit=3) == [6, 5, 3]
    assert store.newest(COMPLETED) == store.newest() == [6, 5, 4, 3, 2, 1]
    assert store.newest(None, "default", "noop") == [6, 5, 4, 3, 2, 1]
    store.declare(*[asked(due_at=START + 1000 - n) for n in range(6)])
    assert store.newest(PENDING, limit=2) == [12, 11]
    assert len(store.newest(PENDING, limit=3)) == 3
    assert store.newest(PENDING) == [12, 11, 10, 9, 8, 7]
    assert len(store.newest(FAILED)) == 0
