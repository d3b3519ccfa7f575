"""Declarations as people ask for them: lists, and one with all its attempts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from prokerja.model.cost import Cost
from prokerja.model.declaration import SHELL, Lane, Status
from prokerja.model.progress import Progress
from prokerja.model.record import Attempt, Awaiting, Filter, Record, Running
from prokerja.model.result import CutResult
from prokerja.model.step import Step
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import (
    CLAIMED,
    CODES,
    COMPLETED,
    FAILED,
    HIGHEST_ID,
    IN_HAND,
    TURNS,
    UNSETTLED,
)
from prokerja.repository.sqlite.costs import LAST, Costs
from prokerja.repository.sqlite.progress import COLUMN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

EXACT_ROWS = 50_000
"""How many of the newest declarations are searched one by one for those that match."""
COLUMNS = f"""
    d.id, d.lane, d.status, d.declared_at, d.due_at, d.started_at, d.finished_at, d.attempt,
    d.retries, d.retry_after, d.timeout, d.returns, d.payload, d.result, d.label, d.batch,
    coalesce((SELECT started_at FROM running WHERE declaration = d.id),
        (SELECT started_at FROM awaiting WHERE declaration = d.id)),
    (SELECT error FROM attempt WHERE declaration = d.id ORDER BY number DESC LIMIT 1),
    (SELECT bytes FROM cut_result WHERE declaration = d.id), {COLUMN},
    (SELECT since FROM suspension AS s JOIN running AS r USING (declaration, token)
        WHERE s.declaration = d.id),
    (SELECT text FROM description WHERE declaration = d.id),
    (SELECT since FROM awaiting WHERE declaration = d.id),
    (SELECT until FROM awaiting WHERE declaration = d.id), {LAST}"""
MATCHES = """
    (:label IS NULL OR d.label = :label)
    AND (:batch IS NULL OR d.batch = :batch)
    AND (:since IS NULL OR d.declared_at >= :since)
    AND (:until IS NULL OR d.declared_at < :until)
    AND (:error IS NULL OR instr(lower((SELECT error FROM attempt WHERE declaration = d.id
        ORDER BY number DESC LIMIT 1)), lower(:error)))"""
"""What a Filter asks of a declaration beside its status and its lane."""
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
        return self._record(row, {row[1]: self._lanes.of(row[1])}, claimed) if row else None

    def newest(self, wanted: Filter, limit: int) -> list[Record]:
        """The declarations that match, highest id first.

        Exactly so among the newest EXACT_ROWS of the file, or of those of a label, of a batch or
        declared in that time; if those are too few, the list goes on with each status's latest: the
        finished by their end, the pending by their due time, EXACT_ROWS of each at the most.
        """
        lanes = self._lanes.matching(wanted.queue, wanted.name)
        claimed = {id for (id,) in self._database.execute(CLAIMED)}
        rows = self._recent(wanted, lanes, limit)
        if len(rows) < limit and wanted.label is None and wanted.batch is None:
            older = self._older(wanted, list(lanes), limit)
            rows = sorted({*rows, *older}, reverse=True)
        flowing = {lane: self._lanes.of(lane) for lane in {row[1] for row in rows}}
        records = (self._record(row, flowing, claimed) for row in rows)
        return [r for r in records if wanted.status in (None, r.status)][:limit]

    def attempts(self, record: Record) -> list[Attempt]:
        """Every attempt that has ended, first to last."""
        query = """
            SELECT number, worker, started_at, finished_at, error, traceback, exit_code
            FROM attempt WHERE declaration = ? ORDER BY number"""
        costs = Costs(self._database).of(record.id)
        rows = self._database.execute(query, (record.id,))
        ended = [Attempt(*row)._replace(cost=costs.get(row[0])) for row in rows]
        if record.status is Status.COMPLETED and record.finished_at is not None:
            times = (record.started_at, record.finished_at)
            is_command = record.lane.name == SHELL and record.result is not None
            exit_code = int(record.result) if is_command else None  # type: ignore[arg-type]
            number, cut = record.attempts, record.cut_bytes
            cost = costs.get(number)
            ended.append(Attempt(number, 0, *times, None, None, exit_code, cut, cost))
        return ended

    def expires_at(self, id: int) -> float | None:
        """When a declaration fails if it has not been started by then."""
        query = "SELECT expires_at FROM expiry WHERE declaration = ?"
        [moment] = self._database.execute(query, (id,)).fetchone() or (None,)
        return None if moment is None else float(moment)

    def cut_result(self, id: int) -> CutResult | None:
        """The declaration's result, if it was too long to be kept whole."""
        query = "SELECT bytes, beginning FROM cut_result WHERE declaration = ?"
        row = self._database.execute(query, (id,)).fetchone()
        return CutResult(*row) if row else None

    def steps(self, id: int) -> list[Step]:
        """What the declaration's attempts have done, in that order."""
        query = "SELECT name, done_at FROM step WHERE declaration = ? ORDER BY rowid"
        return [Step(*row) for row in self._database.execute(query, (id,))]

    def failures(self, queue: str | None, limit: int) -> list[Record]:
        """What has failed for good, the latest end first."""
        query = f"""{ALL} WHERE d.lane = ? AND d.status = {FAILED} AND d.finished_at IS NOT NULL
            ORDER BY d.finished_at DESC LIMIT ?"""
        lanes = self._lanes.matching(queue, None)
        rows = [row for lane in lanes for row in self._database.execute(query, (lane, limit))]
        records = [self._record(row, lanes, ()) for row in rows]
        return sorted(records, key=lambda one: (one.finished_at, one.id), reverse=True)[:limit]

    def running(self, queue: str | None, limit: int) -> list[Running]:
        """What has been running for a moment at least, the longest first."""
        query = f"""SELECT {COLUMNS}, token FROM running JOIN declaration AS d
            ON d.id = running.declaration ORDER BY running.started_at"""
        lanes = self._lanes.matching(queue, None)
        rows = (row for row in self._database.execute(query) if row[1] in lanes)
        return [
            Running(self._record(row, lanes, {row[0]}), token // TURNS)
            for *row, token in itertools.islice(rows, limit)
        ]

    def ahead(
        self, record: Record, now: float, counts: Callable[[Lane], bool] = lambda _: True
    ) -> int:
        """How many due declarations come before a pending one, up to MAX_COUNTED in each lane.

        `counts` tells whether a lane's do.
        """
        from prokerja.repository.why import MAX_COUNTED

        before = """
            SELECT count(*) FROM (SELECT 1 FROM pending WHERE lane = ?
            AND (due_at, declaration) < (?, ?) LIMIT ?)"""
        count = 0
        for id, lane, *_ in self._lanes.waiting(Taking(), now):
            if lane.priority >= record.lane.priority and counts(lane):
                ranks_alike = lane.priority == record.lane.priority
                last = (record.due_at, record.id) if ranks_alike else (now, HIGHEST_ID)
                row = self._database.execute(before, (id, *last, MAX_COUNTED)).fetchone()
                count += row[0]
        return count

    def _recent(self, wanted: Filter, lanes: Iterable[int], limit: int) -> list[Any]:
        marks = ", ".join(str(lane) for lane in lanes)
        first, last = self._declared_between(wanted.since, wanted.until)
        source = "declaration"
        called = "batch" if wanted.batch is not None else "label"
        if getattr(wanted, called) is None:
            first = max(first, last - EXACT_ROWS + 1)
        else:
            source = f"""(SELECT * FROM declaration WHERE {called} = :{called}
                AND id BETWEEN :first AND :last ORDER BY id DESC LIMIT {EXACT_ROWS})"""
        query = f"""SELECT {COLUMNS} FROM {source} AS d WHERE d.id BETWEEN :first AND :last
            AND d.lane IN ({marks}) AND (:code IS NULL OR d.status = :code)
            AND (:in_hand IS NULL OR {IN_HAND} = :in_hand) AND {MATCHES}
            ORDER BY d.id DESC LIMIT :limit"""
        code = None if wanted.status is None else CODES[wanted.status]
        in_hand = wanted.status is Status.PROCESSING if code == UNSETTLED else None
        given = {"code": code, "in_hand": in_hand, "limit": limit, "first": first, "last": last}
        return self._database.execute(query, {**given, **wanted._asdict()}).fetchall()

    def _older(self, wanted: Filter, lanes: list[int], limit: int) -> list[Any]:
        status, rows = wanted.status, list[Any]()
        is_plain = wanted == Filter(wanted.status, wanted.queue, wanted.name)
        given = {**wanted._asdict(), "limit": limit, "most": EXACT_ROWS}
        if status in (None, Status.PROCESSING):
            query = f"{ALL} WHERE d.id IN ({CLAIMED}) AND {MATCHES}"
            rows += [row for row in self._database.execute(query, given) if row[1] in lanes]
        for lane in lanes:
            bound = {**given, "lane": lane}
            if status in (None, Status.PROCESSING):
                waiting = f"""SELECT declaration FROM awaiting WHERE lane = :lane
                    ORDER BY declaration DESC LIMIT {":limit" if is_plain else ":most"}"""
                query = f"""{ALL} JOIN ({waiting}) ON declaration = d.id
                    WHERE {MATCHES} LIMIT :limit"""
                rows += self._database.execute(query, bound)
            if status in (None, Status.PENDING):
                latest = """SELECT declaration FROM pending WHERE lane = :lane
                    ORDER BY due_at DESC, declaration DESC LIMIT"""
                query = f"""{ALL} JOIN ({latest} :most) ON declaration = d.id
                    WHERE {MATCHES} LIMIT :limit"""
                if is_plain:
                    query = f"{ALL} JOIN ({latest} :limit) ON declaration = d.id"
                rows += self._database.execute(query, bound)
                query = f"""{ALL} JOIN (SELECT declaration FROM blocked WHERE lane = :lane
                    ORDER BY declaration DESC LIMIT :most) ON declaration = d.id
                    WHERE {MATCHES} LIMIT :limit"""
                rows += self._database.execute(query, bound)
            for settled in (Status.COMPLETED, Status.FAILED):
                if status in (None, settled):
                    latest = """WHERE d.lane = :lane AND d.status = :code
                        AND d.finished_at IS NOT NULL ORDER BY d.finished_at DESC LIMIT"""
                    query = f"""SELECT {COLUMNS} FROM (
                            SELECT * FROM declaration AS d {latest} :most
                        ) AS d WHERE {MATCHES} LIMIT :limit"""
                    if is_plain:
                        query = f"{ALL} {latest} :limit"
                    rows += self._database.execute(query, {**bound, "code": CODES[settled]})
        return rows

    def _declared_between(self, since: float | None, until: float | None) -> tuple[int, int]:
        """The first and the last id that may have been declared in that time."""
        ends = """SELECT (SELECT coalesce(min(id), 1) FROM declaration),
            (SELECT coalesce(max(id), 0) FROM declaration)"""
        [least, most] = self._database.execute(ends).fetchone()
        first = least if since is None else self._first_since(since, least, most)
        last = most if until is None else self._first_since(until, least, most) - 1
        return first, last

    def _first_since(self, moment: float, low: int, high: int) -> int:
        """The first id that was declared at that moment or later: ids grow with the time."""
        query = "SELECT id, declared_at FROM declaration WHERE id >= ? ORDER BY id LIMIT 1"
        while low <= high:
            middle = (low + high) // 2
            id, declared_at = self._database.execute(query, (middle,)).fetchone()
            if declared_at < moment:
                low = id + 1
            else:
                high = middle - 1
        return low

    def _record(self, row: Any, lanes: Mapping[int, Lane], claimed: Collection[int]) -> Record:
        id, lane, code, declared, due, started, finished, *rest, running, error = row[:-7]
        cut, progress, suspended, described, since, until, cost = row[-7:]
        attempts, retries, retry_after, timeout, returns, payload, result, label, batch = rest
        if code == UNSETTLED:
            in_hand = id in claimed or since is not None
            status = Status.PROCESSING if in_hand else Status.PENDING
        else:
            status = Status.COMPLETED if code == COMPLETED else Status.FAILED
        return Record(
            id, lanes[lane], status, declared, due, running or started, finished, attempts,
            retries, retry_after, timeout, returns, payload, result, error, label, batch, cut,
            _current(progress, attempts + (status is Status.PROCESSING)), suspended,
            None if since is None else Awaiting(since, until), described, _cost(cost),
        )  # fmt: skip


def _cost(text: str | None) -> Cost | None:
    if text is None:
        return None
    import json

    return Cost(*json.loads(text))


def _current(text: str | None, attempt: int) -> Progress | None:
    """A row of progress, if it is of that attempt, the last one, or of one that did not count."""
    if text is None:
        return None
    import json

    progress = Progress(*json.loads(text))
    return progress if progress.attempt >= attempt else None
