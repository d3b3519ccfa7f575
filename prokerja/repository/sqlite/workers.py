"""Workers, and the locks by which anyone can tell whether they live."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from prokerja.errors import StoreGone
from prokerja.model.worker import SPARE_RINGS, Taking, WorkerNote, WorkerRow
from prokerja.repository import is_path
from prokerja.repository.sqlite import lock
from prokerja.text import brief

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.verbs import Membership

MAX_FILES = 100
MAX_ERROR_CHARACTERS = 300
FORGET = "DELETE FROM refusal WHERE worker = ?"
FORGET_NOTES = "DELETE FROM worker_note WHERE worker = ?"
CLOCK_SLACK_SECONDS = 60.0
"""A process that began so much later than its worker is another one of the same number."""


class Workers:
    """Who has registered, and not left in good order.

    A worker's lock file stands beside the database and is held by its supervisor and by each of
    its realizers, which inherit it; so it is free only when the last of them is dead.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self,
        pid: int,
        now: float,
        realizers: int,
        taking: Taking,
        rules: Sequence[tuple[str, str]] = (),
    ) -> Membership:
        """Register a worker, and hold its lock; `rules` say who is told of what."""
        from prokerja.repository.sqlite.happenings import Happenings
        from prokerja.repository.verbs import Membership

        with self._database.writing():
            lists = taking.queues, tuple(taking.names or ()), tuple(taking.directories or ())
            insert = """
                INSERT INTO worker (
                    pid, started_at, realizers, queues, names, directories, weights, resources
                )
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
            texts = map(json.dumps, (*lists, taking.weights, dict(taking.resources)))
            row = (pid, now, realizers, *texts)
            id = self._database.execute(insert, row).lastrowid
            assert id is not None
            Happenings(self._database).set_rules(id, rules)
            self._database.log.add("worker_started", now, (id, pid, realizers, taking.queues))
            # Locked before the row is seen by anyone, so that no one takes it for dead.
            return Membership(id, self._lock(id))

    def set_names(self, id: int, names: Sequence[str], told: Collection[str] = ()) -> None:
        """Remember the jobs a worker knows, and nothing of what it could not run before.

        Those that are `told` have hooks that hear of their end.
        """
        from prokerja.repository.sqlite.hooks import Hooks

        with self._database.writing():
            update = "UPDATE worker SET names = ? WHERE id = ? RETURNING directories"
            found = self._database.execute(update, (json.dumps(names), id)).fetchall()
            self._database.execute(FORGET, (id,))
            for (directories,) in found:
                Hooks(self._database).learn(names, told, json.loads(directories))

    def set_notes(self, id: int, notes: Iterable[WorkerNote]) -> None:
        """Remember these, and no others, as what a worker says of itself."""
        with self._database.writing(draining=True):
            self._database.execute(FORGET_NOTES, (id,))
            insert = """
                INSERT INTO worker_note (worker, kind, since, text, holds)
                SELECT id, ?, ?, ?, ? FROM worker WHERE id = ?"""
            self._database.executemany(insert, ((*note, id) for note in notes))

    def add_code_change(self, id: int, files: Sequence[str], error: str | None, now: float) -> None:
        """Remember that code has changed that a worker has loaded."""
        error = None if error is None else brief(error, MAX_ERROR_CHARACTERS)
        with self._database.writing(draining=True):
            self._database.log.add("code_changed", now, (id, files[:MAX_FILES], error))

    def unregister(self, membership: Membership, now: float) -> None:
        """Strike a worker off, its lock file with it."""
        with self._database.writing(draining=True):
            self.delete((membership.worker,), now, died=False)
        if membership.lock >= 0:
            os.close(membership.lock)
        self.delete_lock(membership.worker)

    def delete(self, ids: Iterable[int], now: float, *, died: bool) -> None:
        """Strike workers off, as far as nobody else has; inside a write transaction."""
        for id in ids:
            gone = self._database.execute("DELETE FROM worker WHERE id = ?", (id,)).rowcount
            self._database.execute(FORGET, (id,))
            self._database.execute(FORGET_NOTES, (id,))
            if gone:
                self._database.log.add("worker_stopped", now, (id, died))

    def delete_lock(self, id: int) -> OSError | None:
        """Delete the lock file of a worker that is struck off; returns what failed."""
        if is_path(self._database.path):
            try:
                os.unlink(self.lock_path(id))
            except FileNotFoundError:
                pass
            except OSError as error:
                return error
        return None

    def refuse_unknown(self, id: int) -> None:
        """Raise StoreGone if a worker is not on the books, that has not left."""
        if not self._database.execute("SELECT 1 FROM worker WHERE id = ?", (id,)).fetchone():
            raise StoreGone(
                f"{self._database.path} knows nothing of worker {id} any more: it was written over"
                " while it was open, or the worker was taken for dead",
                "see that nothing deletes its files, and start it again",
            )

    def find_dead(self, ids: Iterable[int], watch: object) -> tuple[list[int], set[int]]:
        """Those of these workers that are dead; and the living of which the watch will tell."""
        from prokerja.repository.sqlite.watch import Watch

        ids = list(ids)
        if isinstance(watch, Watch):
            watch.locks(map(self.lock_path, ids))
        dead = [id for id in ids if not self.alive(id)]
        # Nothing can be known of a lock that we may not open.
        open_to_us = {id for id in ids if os.access(self.lock_path(id), os.R_OK)}
        return dead, open_to_us.difference(dead)

    def all(self) -> list[WorkerRow]:
        """Every worker on the books, living or dead."""
        query = """
            SELECT id, pid, started_at, realizers, queues, names, directories, weights, resources
            FROM worker ORDER BY id"""
        rows = [_row(*columns) for columns in self._database.execute(query)]
        notes: dict[int, list[WorkerNote]] = {}
        query = "SELECT worker, kind, since, text, holds FROM worker_note ORDER BY worker, kind"
        for id, kind, since, text, holds in self._database.execute(query):
            notes.setdefault(id, []).append(WorkerNote(kind, since, text, bool(holds)))
        return [row._replace(notes=tuple(notes.get(row.id, ()))) for row in rows]

    def rings(self, id: int) -> int:
        """How many journals a worker may have; none if it is not on the books."""
        query = "SELECT realizers FROM worker WHERE id = ?"
        row = self._database.execute(query, (id,)).fetchone()
        return row[0] + SPARE_RINGS if row else 0

    def living(self) -> list[WorkerRow]:
        """Every worker that is alive."""
        return [row for row in self.all() if self.alive(row.id)]

    def held(self) -> dict[int, int]:
        """How many declarations each worker has claimed."""
        query = "SELECT worker, sum(json_array_length(declarations)) FROM claim GROUP BY worker"
        return dict(self._database.execute(query).fetchall())

    def alive(self, id: int) -> bool:
        """Whether anyone holds the worker's lock; in memory, workers live as long as we do."""
        if not is_path(self._database.path):
            return True
        try:
            return lock.held(self.lock_path(id))
        except PermissionError:  # another user's, who does not share it
            return lock.listed(self.lock_path(id)) or self._runs(id)

    def lock_path(self, id: int) -> str:
        """Where the lock of worker `id` is."""
        return f"{self._database.path}-worker-{id}"

    def _lock(self, id: int) -> int:
        if not is_path(self._database.path):
            return -1
        return lock.hold(self.lock_path(id), self._database.path)

    def _runs(self, id: int) -> bool:
        """Whether the worker's process is there, as far as its number and age tell."""
        import psutil

        query = "SELECT pid, started_at FROM worker WHERE id = ?"
        pid, started_at = self._database.execute(query, (id,)).fetchone() or (0, 0.0)
        try:
            process = psutil.Process(pid)
            young = process.create_time() > started_at + CLOCK_SLACK_SECONDS
            return not young and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, ValueError):
            return False


def _row(id: int, pid: int, started_at: float, realizers: int, *texts: str) -> WorkerRow:
    *lists, resources = map(json.loads, texts)
    queues, names, directories, weights = map(tuple, lists)
    taking = Taking(queues, names, directories, weights, resources)
    return WorkerRow(id, pid, started_at, realizers, taking)
