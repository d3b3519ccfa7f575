"""Declarations: registering them, giving failed ones a fresh start, and purging them."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

from prokerja.errors import NotFound, RequestError, TryAgain
from prokerja.model.declaration import Declaration, Status
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.codes import CODES, FAILED, HIGHEST_ID, QUEUE, UNSETTLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

CHUNK_ROWS = 500
"""Declarations held in memory at once: few, for the processor's caches. More are put aside."""
SLICE_ROWS = 500
"""Rows that one transaction of a purge or a retry takes: a few milliseconds."""

INSERT = """
    INSERT INTO declaration
        (id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
NEXT_ID = """
    SELECT 1 + max((SELECT id FROM purged), (SELECT coalesce(max(id), 0) FROM declaration))"""
REGISTER = f"""
    INSERT INTO {schema.REGISTER_VIEW}
        (id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label, batch)
    VALUES (({NEXT_ID}), ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"""
QUEUE_FROM = """
    INSERT INTO pending (lane, due_at, declaration)
    SELECT lane, due_at, id FROM declaration WHERE id >= ?"""


class Declarations:
    """Every verb but `insert` is a transaction of its own."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        purged: Callable[[Iterable[int]], None] = lambda _: None,
    ) -> None:
        """`purged` is told the ids of the purged, when others may write again."""
        self._database = database
        self._lanes = lanes
        self._purged = purged

    def add_one(self, declaration: Declaration, now: float) -> int:
        """Register one, in one statement if its lane is known; returns its id."""
        lane, payload, due_at, *policy, conditions = declaration
        known = self._lanes.cached_id(lane)
        if known is None or conditions is not None:
            return self.add((declaration,), now)[0]
        row = self._database.write(REGISTER, (known, now, max(now, due_at), payload, *policy))
        return int(row[0])

    def add(self, declarations: Iterable[Declaration], now: float) -> range:
        """Register all of them or none; returns their ids, in order.

        They may come as slowly as they like: the store is locked once the last of them is there.
        Raises what reading them raises.
        """
        chunks = _chunks(declarations)
        first, second = next(chunks, []), next(chunks, [])
        if not second:
            with self._database.writing():
                return self.insert(first, now)
        return self._add_many(itertools.chain([first, second], chunks), now)

    def insert(self, declarations: Sequence[Declaration], now: float) -> range:
        """Register them inside the transaction at hand; returns their ids, in order."""
        [first] = self._database.execute(NEXT_ID).fetchone()
        lane_of = self._lanes.id_of
        rows = [
            (id, lane_of(lane), now, max(now, due), payload, again, after, limit, label, batch)
            for id, (lane, payload, due, again, after, limit, label, batch, _) in enumerate(
                declarations, first
            )
        ]
        self._database.executemany(INSERT, rows)
        self._database.execute(QUEUE_FROM, (first,))
        counts = Counter(row[1] for row in rows)
        self._lanes.add_counts({(lane, Status.PENDING): n for lane, n in counts.items()})
        return range(first, first + len(rows))

    def _add_many(self, chunks: Iterable[list[Declaration]], now: float) -> range:
        from prokerja.repository.sqlite.spool import Spool

        spool = Spool(self._database)
        try:
            for chunk in chunks:
                spool.add(chunk)
            with self._database.writing():
                [first] = self._database.execute(NEXT_ID).fetchone()
                count = spool.move(self._lanes, first, now)
                self._database.execute(QUEUE_FROM, (first,))
                return range(first, first + count)
        finally:
            spool.close()

    def retry(self, ids: Sequence[int], now: float) -> None:
        """Put failed declarations back with their attempts counted anew; all of them or none.

        Those that are pending and not due yet become due, and nothing else of them changes.
        Raises NotFound or RequestError naming the first id that is not there or neither of these.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if status == FAILED:
                    self._requeue([(id, lane)], now)
                else:
                    self._hasten(id, lane, due_at, now)

    def retry_failed(self, lanes: Iterable[int], now: float) -> int:
        """Put every failed declaration of these lanes back, in slices; returns how many."""
        # Those that fail again while this runs are newer than `now`, and not taken twice.
        query = f"""
            SELECT id, lane FROM declaration
            WHERE lane = ? AND status = {FAILED} AND finished_at <= ? LIMIT ?"""
        done = 0
        for lane in lanes:
            for _ in in_slices():
                with self._database.writing():
                    rows = self._database.execute(query, (lane, now, SLICE_ROWS)).fetchall()
                    self._requeue(rows, now)
                done += len(rows)
                if len(rows) < SLICE_ROWS:
                    break
        return done

    def purge(
        self, lanes: Iterable[int], status: Status, before: float, most: int | None = None
    ) -> int:
        """Delete declarations that ended (if pending: were due) before that moment.

        Works in slices that never hold a worker up for long; returns how many went, `most` at
        the most. Those that a worker holds are not to be purged.
        """
        done = 0
        for lane in lanes:
            for _ in in_slices():
                limit = SLICE_ROWS if most is None else min(SLICE_ROWS, most - done)
                gone = self._purge_with_room(lane, status, before, limit)
                done += gone
                if gone < limit or done == most:
                    break
        return done

    def _purge_with_room(self, lane: int, status: Status, before: float, limit: int) -> int:
        try:
            return self._purge_slice(lane, status, before, limit)
        except TryAgain:
            # On a full disk, the log's own space is what there is to work with.
            self._database.shorten_log()
            return self._purge_slice(lane, status, before, limit)

    def _purge_slice(self, lane: int, status: Status, before: float, limit: int) -> int:
        if status is Status.PENDING:
            query = """
                SELECT declaration, due_at FROM pending WHERE lane = ? AND due_at < ?
                ORDER BY due_at, declaration LIMIT ?"""
            given: tuple[object, ...] = (lane, before, limit)
        else:
            query = """
                SELECT id, due_at FROM declaration WHERE lane = ? AND status = ?
                AND finished_at < ? ORDER BY finished_at LIMIT ?"""
            given = (lane, CODES[status], before, limit)
        with self._database.writing():
            rows = self._database.execute(query, given).fetchall()
            ids = [(id,) for id, _ in rows]
            if ids:
                highest = "UPDATE purged SET id = max(id, ?)"
                self._database.execute(highest, max(ids))
            if status is Status.PENDING:
                delete = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
                self._database.executemany(delete, [(lane, due_at, id) for id, due_at in rows])
            self._database.executemany("DELETE FROM declaration WHERE id = ?", ids)
            self._database.executemany("DELETE FROM attempt WHERE declaration = ?", ids)
            self._lanes.add_counts({(lane, status): -len(rows)})
        self._purged(id for id, _ in rows)
        return len(rows)

    def _hasten(self, id: int, lane: int, due_at: float, now: float) -> None:
        """Make a pending declaration due; RequestError if it is, or is not pending."""
        key = (lane, due_at, id)
        waits = "SELECT 1 FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
        if self._database.execute(waits, key).fetchone() is None:
            raise RequestError(
                f"job {id} has not failed; only failed jobs, and pending ones that are not due yet,"
                " can be retried"
            )
        if due_at <= now:
            raise RequestError(
                f"job {id} has not failed, and is due already; `prokerja report:job {id}` says"
                " why it is not running"
            )
        self._database.execute(
            "UPDATE pending SET due_at = ? WHERE lane = ? AND due_at = ? AND declaration = ?",
            (now, *key),
        )
        self._database.execute("UPDATE declaration SET due_at = ? WHERE id = ?", (now, id))

    def _requeue(self, rows: Sequence[tuple[int, int]], now: float) -> None:
        fresh = f"""
            UPDATE declaration SET status = {UNSETTLED}, due_at = ?, forgiven = attempt,
                returns = 0, postponed = 0, started_at = NULL, finished_at = NULL WHERE id = ?"""
        self._database.executemany(fresh, [(now, id) for id, _ in rows])
        self._database.executemany(QUEUE, [(lane, now, id) for id, lane in rows])
        counts = Counter(lane for _, lane in rows)
        for status, sign in ((Status.FAILED, -1), (Status.PENDING, 1)):
            self._lanes.add_counts({(lane, status): sign * n for lane, n in counts.items()})


def place_of(database: Database, id: int) -> tuple[int, int, float]:
    """A declaration's lane, the code of its status, and its due time; raises NotFound."""
    query = "SELECT lane, status, due_at FROM declaration WHERE id = ?"
    row: tuple[int, int, float] | None
    row = database.execute(query, (min(id, HIGHEST_ID),)).fetchone()
    if row is None:
        raise NotFound(f"there is no job {id}; `prokerja report:jobs` lists them")
    return row


def _chunks(declarations: Iterable[Declaration]) -> Iterator[list[Declaration]]:
    iterator = iter(declarations)
    while chunk := list(itertools.islice(iterator, CHUNK_ROWS)):
        yield chunk


def in_slices() -> Iterator[None]:
    """Turns of a long job: after each, the file is left alone for as long as the turn took."""
    while True:
        began = time.monotonic()
        yield
        time.sleep(time.monotonic() - began)
