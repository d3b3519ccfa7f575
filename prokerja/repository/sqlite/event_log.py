"""Writes down what happens to jobs, queues and workers, in the transaction in which it does.

A row holds all that a transaction has done of one kind, so that thousands of jobs cost one row.
`event_reader` makes events of it, and knows what each kind of row holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.text import brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.model.claim import FailedAttempt
    from prokerja.model.progress import Progress
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.endings import Waiting

HIGHEST = "max((SELECT id FROM purged), (SELECT coalesce(max(id), 0) FROM declaration))"
"""The last declaration there has been."""
INSERT = f"INSERT INTO event (at, kind, last_id, data) VALUES (?, ?, (SELECT {HIGHEST}), ?)"
ATTEMPT = "SELECT id, lane, attempt + 1 FROM declaration WHERE id = ?"
MAX_ERROR_CHARACTERS = 300


class EventLog:
    """Stands inside the transactions of others.

    What is added is kept until the transaction is about to commit, or until jobs complete in it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: list[tuple[str, float, list[Any]]] = []
        database.before_commit.append(self.write)
        database.on_rollback.append(self._rows.clear)

    def add(self, kind: str, now: float, *items: Sequence[object]) -> None:
        """These have happened; those of jobs begin with the id and the lane."""
        if not (self._rows and self._rows[-1][:2] == (kind, now)):
            self._rows.append((kind, now, []))
        self._rows[-1][2].extend(items)

    def write(self) -> None:
        """Write down what was added."""
        if self._rows:
            rows = [(at, kind, _json(items)) for kind, at, items in self._rows]
            self._rows.clear()
            self._database.executemany(INSERT, rows)

    def completed(
        self, token: int, settlements: Sequence[tuple[int, int, Any]], now: float
    ) -> None:
        """These of a claim have completed; their follow-ups are yet to be declared."""
        if not settlements:
            return
        self.write()
        begun = self._begun(token)
        lane = settlements[0][1]
        ids = [one[0] for one in settlements if one[1] == lane]
        groups = [[lane, ids, [id for id in ids if id in begun] if begun else ()]]
        if len(ids) < len(settlements):
            for lane in dict.fromkeys(one[1] for one in settlements if one[1] != lane):
                ids = [one[0] for one in settlements if one[1] == lane]
                groups.append([lane, ids, [id for id in ids if id in begun]])
        self._database.execute(INSERT, (now, "completed", _encoded(groups)))

    def started(self, token: int, rows: Iterable[tuple[int, int, float]], now: float) -> None:
        """These of a claim are about to be noted as running: the id, the token, and since when."""
        begun = self._begun(token)
        for id, _, since in rows:
            if id not in begun:
                self.add("started", now, (*self._attempt(id), since))

    def progressed(self, rows: Iterable[tuple[int, Progress]], now: float) -> None:
        """These have told how far they have come."""
        for id, (_, done, total, text, at) in rows:
            self.add("progressed", now, (*self._attempt(id), done, total, text, at))

    def failed(
        self, failure: FailedAttempt, began: float | None, now: float, kind: str = "failed"
    ) -> None:
        """An attempt has failed, or was cancelled; it `began` then, if it did."""
        id, lane, number, error, retry_at = failure
        self.add(kind, now, (id, lane, number, _line(error), retry_at, self._untold(id, began)))

    def unbegun(self, kind: str, rows: Iterable[Waiting], now: float) -> None:
        """These have ended that nobody had claimed."""
        for id, lane, _, error in rows:
            self.add(kind, now, (id, lane, 0, _line(error), None, None))

    def left(
        self, kind: str, id: int, lane: int, began: float, until: float | None, now: float
    ) -> None:
        """An attempt has ended for a while: it is postponed, or waits to be resolved."""
        [*_, attempt] = self._attempt(id)
        self.add(kind, now, (id, lane, attempt, self._untold(id, began), until))

    def _attempt(self, id: int) -> Sequence[Any]:
        row: Sequence[Any] = self._database.execute(ATTEMPT, (id,)).fetchone()
        return row

    def _begun(self, token: int) -> set[int]:
        """Those of a claim that are noted as running, whose start has been told."""
        query = "SELECT declaration FROM running WHERE token = ?"
        return {id for (id,) in self._database.execute(query, (token,))}

    def _untold(self, id: int, began: float | None) -> float | None:
        """When it began, unless that was told when it did."""
        query = "SELECT 1 FROM running WHERE declaration = ?"
        return None if self._database.execute(query, (id,)).fetchone() else began


class NoLog(EventLog):
    """Stands for a log that is not to be written."""

    def __init__(self) -> None:
        pass

    def _forget(self, *_: Any, **__: Any) -> None:
        """Write nothing."""

    add = write = completed = started = progressed = failed = unbegun = left = _forget


def _json(items: Sequence[Sequence[object]]) -> str:
    if all(type(value) in (int, float) for item in items for value in item):
        return str([list(item) for item in items])  # without an import, that is JSON, too
    return _encoded(items)


def _encoded(value: object) -> str:
    from msgspec.json import encode

    return encode(value).decode()


def _line(error: str) -> str:
    return brief(error.partition("\n")[0], MAX_ERROR_CHARACTERS)
