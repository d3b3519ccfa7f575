"""Declarations as people ask for them: lists, and one with all its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.model import SHELL, Attempt, Lane, Record, Status
from prokerja.repository.sqlite.codes import CODES, COMPLETED, HIGHEST_ID, UNSETTLED
from prokerja.repository.why import MAX_COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

EXACT_ROWS = 50_000
"""How many of the newest declarations are searched one by one for those that match."""
CLAIMED = "SELECT value FROM claim, json_each(claim.declarations)"
COLUMNS = """
    d.id, d.lane, d.status, d.declared_at, d.due_at, d.started_at, d.finished_at, d.attempt,
    d.retries, d.retry_after, d.timeout, d.returns, d.payload, d.result, d.label,
    (SELECT started_at FROM running WHERE declaration = d.id),
    (SELECT error FROM attempt WHERE declaration = d.id ORDER BY number DESC LIMIT 1)"""
ALL = f"SELECT {COLUMNS} FROM declaration AS d"


class History:
    """Reads only; several questions that belong together go into one `database.reading()`."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes

    def one(self, id: int) -> Record | None:
        """One declaration by its id."""
        if not 0 < id <= HIGHEST_ID:
            return None
        row = self._database.execute(f"{ALL} WHERE d.id = ?", (id,)).fetchone()
        claimed = {id for (id,) in self._database.execute(CLAIMED)}
        return self._record(row, self._lanes.matching(None, None), claimed) if row else None

    def newest(
        self, status: Status | None, queue: str | None, name: str | None, limit: int
    ) -> list[Record]:
        """The declarations that match, highest id first.

        Exactly so among the newest EXACT_ROWS of the file; if those are too few, the list goes on
        with each status's latest: the finished by their end, the pending by their due time.
        """
        lanes = self._lanes.matching(queue, name)
        claimed = {id for (id,) in self._database.execute(CLAIMED)}
        rows = self._recent(status, lanes, limit)
        if len(rows) < limit:
            rows = sorted({*rows, *self._older(status, list(lanes), limit)}, reverse=True)
        records = (self._record(row, lanes, claimed) for row in rows)
        return [r for r in records if status in (None, r.status)][:limit]

    def attempts(self, record: Record) -> list[Attempt]:
        """Every attempt that has ended, first to last."""
        query = """
            SELECT number, worker, started_at, finished_at, error, traceback, exit_code
            FROM attempt WHERE declaration = ? ORDER BY number"""
        ended = [Attempt(*row) for row in self._database.execute(query, (record.id,))]
        if record.status is Status.COMPLETED and record.finished_at is not None:
            times = (record.started_at, record.finished_at)
            is_command = record.lane.name == SHELL and record.result is not None
            exit_code = int(record.result) if is_command else None  # type: ignore[arg-type]
            ended.append(Attempt(record.attempts, 0, *times, None, None, exit_code))
        return ended

    def longest_waiting(self, queue: str | None, now: float) -> float | None:
        """Since when the pending declaration that has been due for the longest has been due."""
        lanes = self._lanes.matching(queue, None)
        query = "SELECT min(due_at) FROM pending WHERE lane = ?"
        firsts = (self._database.execute(query, (lane,)).fetchone()[0] for lane in lanes)
        return min((due for due in firsts if due is not None and due <= now), default=None)

    def ahead(
        self, record: Record, now: float, counts: Callable[[Lane], bool] = lambda _: True
    ) -> int:
        """How many due declarations come before a pending one, up to MAX_COUNTED in each lane.

        `counts` tells whether a lane's do.
        """
        before = """
            SELECT count(*) FROM (SELECT 1 FROM pending WHERE lane = ?
            AND (due_at, declaration) < (?, ?) LIMIT ?)"""
        count = 0
        for id, lane in self._lanes.matching(None, None).items():
            if lane.priority >= record.lane.priority and counts(lane):
                ranks_alike = lane.priority == record.lane.priority
                last = (record.due_at, record.id) if ranks_alike else (now, HIGHEST_ID)
                row = self._database.execute(before, (id, *last, MAX_COUNTED)).fetchone()
                count += row[0]
        return count

    def _recent(self, status: Status | None, lanes: Iterable[int], limit: int) -> list[Any]:
        marks = ", ".join(str(lane) for lane in lanes)
        query = f"""{ALL} WHERE d.id > (SELECT max(id) FROM declaration) - {EXACT_ROWS}
            AND d.lane IN ({marks}) AND (:code IS NULL OR d.status = :code)
            AND (:in_hand IS NULL OR (d.id IN ({CLAIMED})) = :in_hand)
            ORDER BY d.id DESC LIMIT :limit"""
        code = None if status is None else CODES[status]
        in_hand = status is Status.PROCESSING if code == UNSETTLED else None
        given = {"code": code, "in_hand": in_hand, "limit": limit}
        return self._database.execute(query, given).fetchall()

    def _older(self, status: Status | None, lanes: list[int], limit: int) -> list[Any]:
        rows: list[Any] = []
        if status in (None, Status.PROCESSING):
            found = self._database.execute(f"{ALL} WHERE d.id IN ({CLAIMED})")
            rows += [row for row in found if row[1] in lanes]
        for lane in lanes:
            if status in (None, Status.PENDING):
                query = f"""{ALL} JOIN (SELECT declaration FROM pending WHERE lane = ?
                    ORDER BY due_at DESC, declaration DESC LIMIT ?) ON declaration = d.id"""
                rows += self._database.execute(query, (lane, limit))
            for settled in (Status.COMPLETED, Status.FAILED):
                if status in (None, settled):
                    query = f"""{ALL} WHERE d.lane = ? AND d.status = ?
                        AND d.finished_at IS NOT NULL ORDER BY d.finished_at DESC LIMIT ?"""
                    rows += self._database.execute(query, (lane, CODES[settled], limit))
        return rows

    def _record(self, row: Any, lanes: Mapping[int, Lane], claimed: Collection[int]) -> Record:
        id, lane, code, declared, due, started, finished, *rest, running, error = row
        attempts, retries, retry_after, timeout, returns, payload, result, label = rest
        if code == UNSETTLED:
            status = Status.PROCESSING if id in claimed else Status.PENDING
        else:
            status = Status.COMPLETED if code == COMPLETED else Status.FAILED
        return Record(
            id, lanes[lane], status, declared, due, running or started, finished, attempts,
            retries, retry_after, timeout, returns, payload, result, error, label,
        )  # fmt: skip
