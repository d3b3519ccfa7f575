"""Changes declarations while they are pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import RequestError
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import QUEUE
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.expiry import Expiry
from prokerja.repository.sqlite.places import is_pending, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.model.change import Change
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

UNQUEUE = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"


class Changes:
    """A transaction of its own, so that whoever claims one takes it as it was, or as it is."""

    def __init__(self, database: Database, lanes: Lanes) -> None:
        self._database = database
        self._lanes = lanes
        self._endings = Endings(database, lanes)
        self._expiry = Expiry(database, self._endings)

    def change(self, ids: Iterable[int], change: Change, now: float) -> None:
        """Change all or none; see `Repository.change`."""
        with self._database.writing():
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if not is_pending(self._database, id, lane, status, due_at):
                    raise RequestError(f"job {id} is not pending; only pending jobs can be changed")
                self._move(id, lane, due_at, change, now)
                query = "SELECT batch FROM declaration WHERE id = ?"
                [batch] = self._database.execute(query, (id,)).fetchone()
                for column, value in change.columns.items():
                    update = f"UPDATE declaration SET {column} = ? WHERE id = ?"
                    self._database.execute(update, (value, id))
                if batch is not None and "batch" in change.columns:
                    self._endings.succeed(batch)  # it may have been the last that was open
                if change.expires_at is not None:
                    self._expiry.set(id, change.expires_at)

    def _move(self, id: int, lane: int, due_at: float, change: Change, now: float) -> None:
        """Have it wait in another lane, or for another moment."""
        execute = self._database.execute
        old = self._lanes.of(lane)
        queue = old.queue if change.queue is None else change.queue
        priority = old.priority if change.priority is None else change.priority
        to = self._lanes.id_of(old._replace(queue=queue, priority=priority))
        due = due_at if change.due_at is None else max(now, change.due_at)
        if execute(UNQUEUE, (lane, due_at, id)).rowcount:
            execute(QUEUE, (to, due, id))
        execute("UPDATE blocked SET lane = ? WHERE declaration = ?", (to, id))
        execute("UPDATE declaration SET lane = ?, due_at = ? WHERE id = ?", (to, due, id))
        if to != lane:
            self._lanes.add_counts({(lane, Status.PENDING): -1, (to, Status.PENDING): 1})
