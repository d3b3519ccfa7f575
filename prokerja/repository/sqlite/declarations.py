"""Declarations, as they are registered."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from prokerja.model.declaration import Declaration, Status
from prokerja.repository.sqlite import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prokerja.model.declaration import Ids
    from prokerja.repository.sqlite.conditional import Conditional
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

CHUNK_ROWS = 500
"""Declarations held in memory at once: few, for the processor's caches. More are put aside."""

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

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    @cached_property
    def _conditional(self) -> Conditional:
        from prokerja.repository.sqlite.conditional import Conditional

        return Conditional(self._database, self._lanes, self._insert)

    def add_one(self, declaration: Declaration, now: float) -> int:
        """Register one, in one statement if its lane is known; returns its id.

        It may have no conditions.
        """
        lane, payload, due_at, *policy, _ = declaration
        known = self._lanes.cached_id(lane)
        if known is None:
            return self.add((declaration,), now)[0]
        row = self._database.write(REGISTER, (known, now, max(now, due_at), payload, *policy))
        return int(row[0])

    def add(self, declarations: Iterable[Declaration], now: float) -> range | Ids:
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

    def insert(
        self, declarations: Sequence[Declaration], now: float, *, strict: bool = True
    ) -> range | Ids:
        """Register them inside the transaction at hand; returns their ids, in order.

        Raises RequestError, if `strict`, where one is to wait for what is not there.
        """
        if any(one.conditions for one in declarations):
            return self._conditional.insert(declarations, now, strict=strict)
        return self._insert(declarations, now)

    def _insert(self, declarations: Sequence[Declaration], now: float) -> range:
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

    def _add_many(self, chunks: Iterable[list[Declaration]], now: float) -> range | Ids:
        from prokerja.repository.sqlite.spool import Spool

        spool = Spool(self._database)
        try:
            for chunk in chunks:
                spool.add(chunk)
            with self._database.writing():
                if spool.has_conditions:
                    return self._conditional.insert(spool.declarations(), now, strict=True)
                [first] = self._database.execute(NEXT_ID).fetchone()
                count = spool.move(self._lanes, first, now)
                self._database.execute(QUEUE_FROM, (first,))
                return range(first, first + count)
        finally:
            spool.close()


def _chunks(declarations: Iterable[Declaration]) -> Iterator[list[Declaration]]:
    iterator = iter(declarations)
    while chunk := list(itertools.islice(iterator, CHUNK_ROWS)):
        yield chunk
