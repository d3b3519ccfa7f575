"""Workers, and the locks by which anyone can tell whether they live."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from prokerja import lock
from prokerja.model import WorkerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.repository.database import Database


class Workers:
    """Who has registered, and not left in good order.

    A worker's lock file stands beside the database and is held by its supervisor and by each of
    its realizers, which inherit it; so it is free only when the last of them is dead.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self, pid: int, now: float, realizers: int, queues: Sequence[str], names: Sequence[str]
    ) -> tuple[int, int]:
        """Register a worker; returns its id and the open descriptor that is its lock (or -1)."""
        with self._database.writing():
            row = (pid, now, realizers, json.dumps(queues), json.dumps(names))
            insert = """
                INSERT INTO worker (pid, started_at, realizers, queues, names)
                VALUES (?, ?, ?, ?, ?)"""
            id = self._database.execute(insert, row).lastrowid
            assert id is not None
            # Locked before the row is seen by anyone, so that no one takes it for dead.
            return id, self._lock(id)

    def learn(self, id: int, names: Sequence[str]) -> None:
        """Remember the jobs a worker knows."""
        with self._database.writing():
            update = "UPDATE worker SET names = ? WHERE id = ?"
            self._database.execute(update, (json.dumps(names), id))

    def leave(self, id: int, held: int) -> None:
        """Strike a worker off, its lock file with it."""
        with self._database.writing(draining=True):
            self._database.execute("DELETE FROM worker WHERE id = ?", (id,))
        if held >= 0:
            os.close(held)
        self._unlink(id)

    def ids(self) -> list[int]:
        """The ids of every worker on the books, living or dead."""
        return [id for (id,) in self._database.execute("SELECT id FROM worker")]

    def forget(self, ids: Iterable[int]) -> None:
        """Strike off dead workers; inside a write transaction."""
        rows = [(id,) for id in ids]
        self._database.executemany("DELETE FROM worker WHERE id = ?", rows)

    def clear(self, ids: Iterable[int]) -> None:
        """Delete the lock files of dead workers, once they are struck off."""
        for id in ids:
            self._unlink(id)

    def all(self) -> list[WorkerRow]:
        """Every worker on the books, living or dead."""
        query = "SELECT id, pid, started_at, realizers, queues, names FROM worker ORDER BY id"
        rows = self._database.execute(query)
        return [
            WorkerRow(id, pid, at, realizers, tuple(json.loads(queues)), tuple(json.loads(names)))
            for id, pid, at, realizers, queues, names in rows
        ]

    def realizers(self, id: int) -> int:
        """How many realizers a worker has; none if it is not on the books."""
        query = "SELECT realizers FROM worker WHERE id = ?"
        [count] = self._database.execute(query, (id,)).fetchone() or (0,)
        return int(count)

    def living(self) -> list[WorkerRow]:
        """Every worker that is alive."""
        return [row for row in self.all() if self.alive(row.id)]

    def alive(self, id: int) -> bool:
        """Whether anyone holds the worker's lock; in memory, workers live as long as we do."""
        if self._database.path == ":memory:":
            return True
        return lock.held(self.lock_path(id))

    def lock_path(self, id: int) -> str:
        """Where the lock of worker `id` is."""
        return f"{self._database.path}-worker-{id}"

    def _lock(self, id: int) -> int:
        if self._database.path == ":memory:":
            return -1
        return lock.hold(self.lock_path(id))

    def _unlink(self, id: int) -> None:
        if self._database.path != ":memory:":
            with contextlib.suppress(OSError):  # whatever stands there now is no lock of ours
                os.unlink(self.lock_path(id))
