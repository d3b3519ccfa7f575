"""Declarations kept apart while they come in, so that no other process waits for them."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import TYPE_CHECKING

from prokerja.errors import StoreError, TryAgain
from prokerja.model.declaration import Conditions, Declaration, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prokerja.model.declaration import Lane
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

LANE = itemgetter(0)
UNCONDITIONAL = Conditions()
NUMBERS = itertools.count(1)
"""Several may be open at once: of other threads, and of a source that declares by itself."""


class Spool:
    """A temporary table of this connection, which SQLite keeps in a file once it is large."""

    def __init__(self, database: Database) -> None:
        self._database = database
        number = next(NUMBERS)
        self._rows, self._lanes = f"temp.spool_{number}", f"temp.spool_lane_{number}"
        self._count = 0
        self._numbers: dict[Lane, int] = {}
        self._counts: Counter[int] = Counter()
        """Declarations by lane, in the numbers that lanes have here."""
        self.has_conditions = False
        """Whether any waits for more than its time, or may not be one at all."""
        self._has_traces = False
        with _room(), database.aside():
            database.execute("PRAGMA temp.auto_vacuum = FULL")  # what is dropped frees its room
            database.execute(
                f"CREATE TABLE {self._rows} (place INTEGER PRIMARY KEY, lane, due_at, payload,"
                " retries, retry_after, timeout, label, batch, conditions)"
            )
            database.execute(f"CREATE TABLE {self._lanes} (number INTEGER PRIMARY KEY, id)")

    def add(self, declarations: Sequence[Declaration]) -> None:
        """Put some more aside; raises TryAgain if there is no room for them."""
        numbers = self._numbers
        rows = [
            (numbers.setdefault(lane, len(numbers)), due, payload, again, after, limit, label,
                batch, asked and self._noted(asked))
            for lane, payload, due, again, after, limit, label, batch, asked in declarations
        ]  # fmt: skip
        insert = f"INSERT INTO {self._rows} VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        with _room(), self._database.aside():
            self._database.executemany(insert, rows)
        self._count += len(rows)
        self._counts.update(map(LANE, rows))

    def _noted(self, conditions: Conditions) -> str:
        self._has_traces = self._has_traces or conditions.trace is not None
        if conditions._replace(trace=None) != UNCONDITIONAL:
            self.has_conditions = True
        return json.dumps(conditions)

    def move(self, lanes: Lanes, first: int, now: float) -> int:
        """Register all of them with ids from `first` on, inside the transaction at hand.

        Returns how many they were.
        """
        ids = {number: lanes.id_of(lane) for lane, number in self._numbers.items()}
        self._database.executemany(f"INSERT INTO {self._lanes} VALUES (?, ?)", ids.items())
        self._database.execute(
            f"""INSERT INTO declaration
                (id, lane, declared_at, due_at, payload, retries, retry_after, timeout, label,
                batch)
            SELECT :first - 1 + place, known.id, :now, max(:now, due_at), payload, retries,
                retry_after, timeout, label, batch
            FROM {self._rows} AS row CROSS JOIN {self._lanes} AS known ON number = row.lane""",
            {"first": first, "now": now},
        )
        if self._has_traces:
            self._database.execute(
                f"""INSERT INTO trace (declaration, context)
                SELECT :first - 1 + place, json_extract(conditions, :trace) FROM {self._rows}
                WHERE json_extract(conditions, :trace) IS NOT NULL""",
                {"first": first, "trace": f"$[{Conditions._fields.index('trace')}]"},
            )
        lanes.add_counts({(ids[number], Status.PENDING): n for number, n in self._counts.items()})
        return self._count

    def declarations(self) -> Iterator[Declaration]:
        """All of them, in order."""
        lanes = list(self._numbers)
        query = f"""SELECT lane, payload, due_at, retries, retry_after, timeout, label, batch,
            conditions FROM {self._rows} ORDER BY place"""
        for lane, *columns, conditions in self._database.execute(query):
            asked = None if conditions is None else _conditions(conditions)
            yield Declaration._make((lanes[lane], *columns, asked))

    def close(self) -> None:
        """Let go of all that it holds."""
        with suppress(StoreError), self._database.aside():
            self._database.execute(f"DROP TABLE {self._rows}")
            self._database.execute(f"DROP TABLE {self._lanes}")


def _conditions(text: str) -> Conditions:
    conditions = Conditions(*json.loads(text))
    return conditions._replace(after=tuple(conditions.after))


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        if not isinstance(error.__cause__, sqlite3.OperationalError):
            raise
        raise TryAgain(
            f"cannot keep what was read in the temporary directory: {error.__cause__};"
            " nothing was declared; make room there, or set TMPDIR, and try again"
        ) from None
