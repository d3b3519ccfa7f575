"""Events as they are read: what `event_log` has written, and declarations in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.json import decode

from prokerja.events import KINDS, Completed, Declared, Event, JobEvent, Position, Started
from prokerja.repository.sqlite.event_log import HIGHEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prokerja.repository.sqlite.database import Database

    Make = Callable[[str], Event]
    """Makes an event, given its cursor."""

ROWS = "SELECT seq, at, kind, last_id, data FROM event WHERE seq >= ? ORDER BY seq LIMIT 50"
CHUNK_ROWS = 500
DECLARED = f"""
    SELECT id, lane, declared_at FROM declaration WHERE id > ? AND id <= ?
    ORDER BY id LIMIT {CHUNK_ROWS}"""
LATER = "SELECT kind, at, data FROM event WHERE seq >= ? ORDER BY seq LIMIT 100"
TIMES = """
    SELECT id, attempt, started_at, finished_at FROM declaration
    WHERE id IN (SELECT value FROM json_each(?))"""
ROW_SINCE = "SELECT seq, at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1"
DECLARED_SINCE = "SELECT id, declared_at FROM declaration WHERE id >= ? ORDER BY id LIMIT 1"
NAMES = "SELECT name, queue FROM lane WHERE id = ?"
NAMES_NOW = """
    SELECT name, queue FROM declaration JOIN lane ON lane.id = lane WHERE declaration.id = ?"""
UNKNOWN = "?"
"""Stands for the names of a job that is gone, and its lane with it."""
ENDED = ("attempt", "error", "retry_at", "began")
FIELDS: dict[str, tuple[str, ...]] = {
    "started": ("attempt", "at"),
    "progressed": ("attempt", "done", "total", "text", "at"),
    "failed": ENDED,
    "cancelled": ENDED,
    "expired": ENDED,
    "postponed": ("attempt", "began", "due_at"),
    "awaiting": ("attempt", "began", "until"),
    "retried": (),
    "resolved": (),
    "interrupted": (),
    "recovered": ("worker", "attempt"),
    "paused": ("queue", "by", "why", "until"),
    "resumed": ("queue", "by"),
    "worker_started": ("worker", "pid", "realizers", "queues"),
    "worker_stopped": ("worker", "died"),
    "code_changed": ("worker", "files", "error"),
    "memory_exceeded": ("worker", "pid", "job", "bytes", "limit"),
}
"""What an item holds, after the id and the lane if it is a job's; see `EventLog`. `began` is there
if the attempt's start is yet to be told."""


class EventReader:
    """Stands inside a transaction that reads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[int, dict[str, str]] = {}

    def end(self) -> Position:
        """The place after all that has happened."""
        query = f"SELECT coalesce(max(seq), 0), {HIGHEST} FROM event"
        seq, last = self._database.execute(query).fetchone()
        return Position(seq + 1, 0, last)

    def since(self, moment: float) -> Position:
        """The place before what has happened at that moment or later."""
        row = self._first(ROW_SINCE, moment, "SELECT min(seq), max(seq) FROM event")
        ends = "SELECT min(id), max(id) FROM declaration"
        return Position(row, 0, self._first(DECLARED_SINCE, moment, ends) - 1)

    def read(self, after: Position) -> Iterator[Event]:
        """All that has happened after that place, as the transaction sees it."""
        seq, told, last = after
        while rows := self._database.execute(ROWS, (seq,)).fetchall():
            for number, at, kind, last_id, data in rows:
                told = told if number == seq else 0
                yield from self._declared(number, last, last_id)
                last = max(last, last_id)
                for count, make in enumerate(self._makers(at, kind, data), 1):
                    if count > told:
                        yield make(str(Position(number, count, last)))
                seq, told = number + 1, 0
        [highest] = self._database.execute(f"SELECT {HIGHEST}").fetchone()
        yield from self._declared(seq, last, highest)

    def _declared(self, seq: int, last: int, highest: int) -> Iterator[Event]:
        """The declarations above `last`, up to `highest`, which are told before a row."""
        while last < highest:
            rows = self._database.execute(DECLARED, (last, highest)).fetchall()
            end = rows[-1][0] if len(rows) == CHUNK_ROWS else highest
            if len(rows) < end - last:
                rows += self._purged(seq, range(last + 1, end + 1), {id for id, *_ in rows})
            for id, lane, at in sorted(rows):
                cursor = str(Position(seq, 0, id))
                yield Declared(cursor=cursor, at=at, id=id, **self._named(id, lane))
            last = end

    def _purged(self, seq: int, ids: range, there: set[int]) -> list[tuple[int, int, float]]:
        """Those of these that are not there any more, but of which more is to be told."""
        found: dict[int, tuple[int, int, float]] = {}
        for kind, at, data in self._database.execute(LATER, (seq,)):
            for id, lane in _jobs(kind, data):
                if id in ids and id not in there:
                    found.setdefault(id, (id, lane, at))
        return list(found.values())

    def _makers(self, at: float, kind: str, data: str) -> Iterator[Make]:
        """What makes the events of a row."""
        if kind == "completed":
            for lane, ids, begun in decode(data):
                yield from self._completed(at, lane, ids, set(begun))
        elif kind in FIELDS:
            for item in decode(data):
                yield from self._of_item(at, kind, item)

    def _of_item(self, at: float, kind: str, item: Sequence[Any]) -> Iterator[Make]:
        made: Any = KINDS[kind]
        given: dict[str, Any] = {"at": at}
        if issubclass(made, JobEvent):
            given |= {"id": item[0], **self._named(item[0], item[1])}
            item = item[2:]
        given |= dict(zip(FIELDS[kind], item, strict=False))
        began = given.pop("began", None)
        if began is not None:
            yield _start(began, given["attempt"], given)
        for name in ("queues", "files"):
            if name in given:
                given[name] = tuple(given[name])
        given = {name: given[name] for name in given if name in made.__dataclass_fields__}
        yield lambda cursor: made(cursor=cursor, **given)

    def _completed(
        self, at: float, lane: int, ids: Sequence[int], begun: set[int]
    ) -> Iterator[Make]:
        rows = self._database.execute(TIMES, (str(list(ids)),))
        times = {id: times for id, *times in rows}
        for id in ids:
            attempt, began, ended = times.get(id, (None, None, None))
            of = {"id": id, **self._named(id, lane)}
            if id not in begun:
                yield _start(at if began is None else began, attempt, of)
            yield _completion(at if ended is None else ended, attempt, of)

    def _named(self, id: int, lane: int) -> dict[str, str]:
        """The job's name and the queue of a declaration that was in that lane."""
        if lane not in self._names:
            row = self._database.execute(NAMES, (lane,)).fetchone()
            if row is None:  # it was folded into another
                row = self._database.execute(NAMES_NOW, (id,)).fetchone() or (UNKNOWN, UNKNOWN)
                return dict(zip(("job", "queue"), row, strict=True))
            self._names[lane] = dict(zip(("job", "queue"), row, strict=True))
        return self._names[lane]

    def _first(self, query: str, moment: float, ends: str) -> int:
        """The first of what is numbered in the order of its time that is of then or later."""
        low, high = self._database.execute(ends).fetchone()
        if low is None:
            return 1
        while low <= high:
            middle = (low + high) // 2
            number, at = self._database.execute(query, (middle,)).fetchone()
            if at < moment:
                low = number + 1
            else:
                high = middle - 1
        return int(low)


def _start(at: float, attempt: int | None, of: dict[str, Any]) -> Make:
    of = {name: of[name] for name in ("id", "job", "queue")}
    return lambda cursor: Started(cursor=cursor, at=at, attempt=attempt, **of)


def _completion(at: float, attempt: int | None, of: dict[str, Any]) -> Make:
    return lambda cursor: Completed(cursor=cursor, at=at, attempt=attempt, **of)


def _jobs(kind: str, data: str) -> Iterator[tuple[int, int]]:
    """The jobs that a row tells of, by id and lane."""
    if kind == "completed":
        for lane, ids, _ in decode(data):
            yield from ((id, lane) for id in ids)
    elif issubclass(KINDS.get(kind, object), JobEvent):
        yield from ((item[0], item[1]) for item in decode(data))
