"""Declarations as people ask for them: lists, and one with all its attempts."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.model import Attempt, Lane, Status

if TYPE_CHECKING:
    from prokerja.repository.database import Database
    from prokerja.repository.lanes import Lanes

MANY = 1000
"""How far the jobs ahead of one are counted."""
CLAIMED = "SELECT value FROM claim, json_each(claim.declarations)"
COLUMNS = """
    d.id, d.lane, d.status, d.declared_at, d.due_at, d.started_at, d.finished_at, d.attempt,
    d.retries, d.retry_after, d.timeout, d.returns, d.payload, d.result,
    (SELECT started_at FROM running WHERE declaration = d.id),
    (SELECT error FROM attempt WHERE declaration = d.id ORDER BY number DESC LIMIT 1)"""
ALL = f"SELECT {COLUMNS} FROM declaration AS d"


class Record(NamedTuple):
    """A declaration and what has come of it so far."""

    id: int
    lane: Lane
    status: Status
    declared_at: float
    due_at: float
    started_at: float | None
    """Of the attempt that runs now, or of the last one."""
    finished_at: float | None
    attempts: int
    """How many attempts have ended."""
    retries: int
    retry_after: float
    timeout: float | None
    returns: int
    payload: str
    result: str | None
    error: str | None
    """Of the last attempt that went wrong."""


class History:
    """Reads only; several questions that belong together go into one `database.reading()`."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def one(self, id: int) -> Record | None:
        """One declaration by its id."""
        row = self._database.execute(f"{ALL} WHERE d.id = ?", (id,)).fetchone()
        return self._records([row])[0] if row else None

    def newest(
        self, status: Status | None, queue: str | None, name: str | None, limit: int
    ) -> list[Record]:
        """The newest declarations that match: finished ones by their end, others by their id."""
        lanes = list(self._lanes.matching(queue, name))
        everywhere = queue is None and name is None
        if status in (Status.COMPLETED, Status.FAILED):
            rows = self._settled(lanes, 1 if status is Status.COMPLETED else 2, limit)
        elif status is Status.PROCESSING:
            rows = self._processing(lanes, limit)
        elif status is Status.PENDING:
            rows = self._pending(lanes, limit)
        elif everywhere:
            rows = list(self._database.execute(f"{ALL} ORDER BY d.id DESC LIMIT ?", (limit,)))
        else:
            rows = self._any(lanes, limit)
        return self._records(rows)

    def attempts(self, record: Record) -> list[Attempt]:
        """Every attempt that has ended, first to last."""
        query = """
            SELECT number, worker, started_at, finished_at, error, traceback
            FROM attempt WHERE declaration = ? ORDER BY number"""
        ended = [Attempt(*row) for row in self._database.execute(query, (record.id,))]
        if record.status is Status.COMPLETED and record.finished_at is not None:
            times = (record.started_at, record.finished_at)
            ended.append(Attempt(record.attempts, 0, *times, None, None))
        return ended

    def longest_waiting(self, queue: str | None, now: float) -> float | None:
        """Since when the pending declaration that has been due for the longest has been due."""
        lanes = self._lanes.matching(queue, None)
        query = "SELECT min(due_at) FROM pending WHERE lane = ?"
        firsts = (self._database.execute(query, (lane,)).fetchone()[0] for lane in lanes)
        return min((due for due in firsts if due is not None and due <= now), default=None)

    def ahead(self, record: Record, now: float) -> int:
        """How many due declarations come before a pending one, counting to MANY in each lane."""
        before = """
            SELECT count(*) FROM (SELECT 1 FROM pending WHERE lane = ?
            AND (due_at, declaration) < (?, ?) LIMIT ?)"""
        count = 0
        for id, lane in self._lanes.matching(None, None).items():
            if lane.priority >= record.lane.priority:
                due_at = record.due_at if lane.priority == record.lane.priority else now
                row = self._database.execute(before, (id, due_at, record.id, MANY)).fetchone()
                count += row[0]
        return count

    def _settled(self, lanes: list[int], code: int, limit: int) -> list[Any]:
        query = f"""{ALL} WHERE d.lane = ? AND d.status = ? AND d.status > 0
            ORDER BY d.finished_at DESC LIMIT ?"""
        found = [self._database.execute(query, (lane, code, limit)).fetchall() for lane in lanes]
        return heapq.nlargest(limit, (row for rows in found for row in rows), key=lambda r: r[6])

    def _pending(self, lanes: list[int], limit: int) -> list[Any]:
        query = f"""{ALL} JOIN (SELECT declaration FROM pending WHERE lane = ?
            ORDER BY due_at DESC, declaration DESC LIMIT ?) ON declaration = d.id"""
        found = [self._database.execute(query, (lane, limit)).fetchall() for lane in lanes]
        return heapq.nlargest(limit, (row for rows in found for row in rows))

    def _processing(self, lanes: list[int], limit: int) -> list[Any]:
        rows = self._database.execute(f"{ALL} WHERE d.id IN ({CLAIMED})")
        return heapq.nlargest(limit, (row for row in rows if row[1] in lanes))

    def _any(self, lanes: list[int], limit: int) -> list[Any]:
        rows = [
            *self._pending(lanes, limit),
            *self._processing(lanes, limit),
            *self._settled(lanes, 1, limit),
            *self._settled(lanes, 2, limit),
        ]
        return sorted(rows, reverse=True)[:limit]

    def _records(self, rows: list[Any]) -> list[Record]:
        lanes = self._lanes.matching(None, None)
        claimed = {id for (id,) in self._database.execute(CLAIMED)}
        return [self._record(row, lanes, claimed) for row in rows]

    def _record(self, row: Any, lanes: dict[int, Lane], claimed: set[int]) -> Record:
        id, lane, code, declared, due, started, finished, *rest, running, error = row
        attempts, retries, retry_after, timeout, returns, payload, result = rest
        if code == 0:
            status = Status.PROCESSING if id in claimed else Status.PENDING
        else:
            status = Status.COMPLETED if code == 1 else Status.FAILED
        return Record(
            id, lanes[lane], status, declared, due, running or started, finished, attempts,
            retries, retry_after, timeout, returns, payload, result, error,
        )  # fmt: skip
