"""Keys under which one open declaration stands for all that are declared with the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import RequestError

if TYPE_CHECKING:
    from prokerja.model.declaration import Declaration
    from prokerja.repository.sqlite.database import Database

STANDING = """
    SELECT declaration FROM coalescing WHERE key = ? AND name = ? AND directory = ? AND open"""
ADD = "INSERT INTO coalescing (declaration, key, name, directory) VALUES (?, ?, ?, ?)"
WAITING = """
    SELECT due_at, EXISTS (
        SELECT 1 FROM pending WHERE pending.lane = d.lane AND pending.due_at = d.due_at
        AND declaration = id AND id NOT IN (SELECT declaration FROM answer)
    ), EXISTS (SELECT 1 FROM blocked WHERE declaration = id)
    FROM declaration AS d WHERE id = ?"""
REPLACE = "UPDATE declaration SET payload = ?, due_at = ? WHERE id = ?"
REOPEN = "UPDATE OR IGNORE coalescing SET open = 1 WHERE declaration = ?"


class Coalescing:
    """Inside the transaction at hand. A key is that of a job's name and jobs directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, declaration: Declaration) -> int | None:
        """The open declaration that stands for this one, if any."""
        row = self._database.execute(STANDING, _key(declaration)).fetchone()
        return None if row is None else int(row[0])

    def add(self, id: int, declaration: Declaration) -> None:
        """A new declaration stands for its key."""
        self._database.execute(ADD, (id, *_key(declaration)))

    def replace(self, id: int, newest: Declaration, now: float) -> None:
        """Have an open declaration take over payload and due time, unless it has been claimed."""
        due_at, queued, blocked = self._database.execute(WAITING, (id,)).fetchone()
        if queued or blocked:
            due = max(now, newest.due_at)
            self._database.execute(
                "UPDATE pending SET due_at = ? WHERE declaration = ? AND due_at = ?"
                " AND lane = (SELECT lane FROM declaration WHERE id = ?)",
                (due, id, due_at, id),
            )
            self._database.execute(REPLACE, (newest.payload, due, id))
            # What it has done was for what it was asked before.
            self._database.execute("DELETE FROM step WHERE declaration = ?", (id,))

    def reopen(self, id: int) -> bool:
        """Have one that has got a fresh start stand for its key; whether no other does."""
        if self._database.execute(REOPEN, (id,)).rowcount:
            return True
        query = "SELECT 1 FROM coalescing WHERE declaration = ? AND NOT open"
        return self._database.execute(query, (id,)).fetchone() is None

    def refuse(self, id: int) -> RequestError:
        """What to say of one whose key another stands for."""
        query = """
            SELECT other.declaration FROM coalescing AS one JOIN coalescing AS other
            ON other.key = one.key AND other.name = one.name
                AND other.directory = one.directory AND other.open
            WHERE one.declaration = ?"""
        [other] = self._database.execute(query, (id,)).fetchone()
        return RequestError(
            f"job {other} stands for the key of job {id} now; wait for it, or cancel it first"
        )


def _key(declaration: Declaration) -> tuple[str, str, str]:
    lane, conditions = declaration.lane, declaration.conditions
    assert conditions is not None
    assert conditions.coalesce is not None
    return conditions.coalesce, lane.name, lane.directory
