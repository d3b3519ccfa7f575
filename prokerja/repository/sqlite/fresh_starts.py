"""Failed declarations that are to be tried again, and pending ones that are not to wait."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from prokerja.errors import RequestError
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.blocks import Blocks
from prokerja.repository.sqlite.coalescing import Coalescing
from prokerja.repository.sqlite.codes import FAILED, QUEUE, UNSETTLED
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.places import place_of
from prokerja.repository.sqlite.slices import SLICE_ROWS, in_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

FRESH = f"""
    UPDATE declaration SET status = {UNSETTLED}, due_at = ?, forgiven = attempt, returns = 0,
        postponed = 0, started_at = NULL, finished_at = NULL WHERE id = ?"""
UNTOLD = "DELETE FROM untold WHERE declaration = ?"
USED = """
    SELECT EXISTS (SELECT 1 FROM coalescing),
        EXISTS (SELECT 1 FROM dependency WHERE NOT met)
        OR EXISTS (SELECT 1 FROM successor WHERE completed IS NULL)
        OR EXISTS (SELECT 1 FROM held_before)"""
REPLACEABLE = """
    NOT EXISTS (
        SELECT 1 FROM coalescing AS one JOIN coalescing AS other ON other.key = one.key
            AND other.name = one.name AND other.directory = one.directory AND other.open
        WHERE one.declaration = declaration.id
    )"""
"""No other has taken its key meanwhile."""


class FreshStarts:
    """Each verb is a transaction of its own."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes
        self._coalescing = Coalescing(database)
        self._endings = Endings(database, lanes)
        self._blocks = Blocks(database, self._endings)

    def retry(self, ids: Sequence[int], now: float) -> None:
        """Put failed declarations back with their attempts counted anew; all of them or none.

        Those that are pending and not due yet become due, and nothing else of them changes.
        Raises NotFound or RequestError naming the first id that is not there or neither of these.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if status == FAILED:
                    if not self._requeue([(id, lane)], now):
                        raise self._coalescing.refuse(id)
                else:
                    self._hasten(id, lane, due_at, now)

    def retry_failed(self, lanes: Iterable[int], now: float) -> int:
        """Put every failed declaration of these lanes back, in slices; returns how many."""
        # Those that fail again while this runs are newer than `now`, and not taken twice.
        query = f"""
            SELECT id, lane FROM declaration
            WHERE lane = ? AND status = {FAILED} AND finished_at <= ? AND {REPLACEABLE}
            LIMIT ?"""
        done = 0
        for lane in lanes:
            for _ in in_slices():
                with self._database.writing():
                    rows = self._database.execute(query, (lane, now, SLICE_ROWS)).fetchall()
                    done += self._requeue(rows, now)
                if len(rows) < SLICE_ROWS:
                    break
        return done

    def _hasten(self, id: int, lane: int, due_at: float, now: float) -> None:
        """Make a pending declaration due; RequestError if it is, or is not pending."""
        key = (lane, due_at, id)
        waits = "SELECT 1 FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
        if self._database.execute(waits, key).fetchone() is None:
            if self._blocks.of(id) is not None:
                raise RequestError(
                    f"job {id} has not failed; `prokerja report:job {id}` says what it waits for"
                )
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
        self._database.log.add("retried", now, (id, lane))

    def _requeue(self, rows: Sequence[tuple[int, int]], now: float) -> int:
        """Put back those for which no other stands; returns how many.

        Those that depend on others wait for them again.
        """
        [coalesce, depend] = self._database.execute(USED).fetchone()
        if coalesce:
            rows = [(id, lane) for id, lane in rows if self._coalescing.reopen(id)]
        self._database.executemany(FRESH, [(now, id) for id, _ in rows])
        self._database.executemany(UNTOLD, [(id,) for id, _ in rows])
        self._database.executemany(QUEUE, [(lane, now, id) for id, lane in rows])
        self._database.log.add("retried", now, *rows)
        counts = Counter(lane for _, lane in rows)
        for status, sign in ((Status.FAILED, -1), (Status.PENDING, 1)):
            self._lanes.add_counts({(lane, status): sign * n for lane, n in counts.items()})
        later = math.nextafter(now, math.inf)  # or what fails now would be put back once more
        for id, lane in rows if depend else ():
            error = self._blocks.block_again(id, lane, now)
            if error is not None:
                self._endings.fail_waiting([(id, lane, now, error)], later)
        self._endings.write(later)
        return len(rows)
