"""Where a declaration stands, for verbs that are about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import NotFound, RequestError
from prokerja.repository.sqlite.codes import HIGHEST_ID, UNSETTLED
from prokerja.text import shown

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

WAITS = """
    SELECT EXISTS (SELECT 1 FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?)
        OR EXISTS (SELECT 1 FROM blocked WHERE declaration = ?)"""


def place_of(database: Database, id: int) -> tuple[int, int, float]:
    """A declaration's lane, the code of its status, and its due time; raises NotFound."""
    if not isinstance(id, int) or isinstance(id, bool):
        raise RequestError(f"{shown(id)} is not the id of a job; give a whole number")
    query = "SELECT lane, status, due_at FROM declaration WHERE id = ?"
    row: tuple[int, int, float] | None
    row = database.execute(query, (min(id, HIGHEST_ID),)).fetchone()
    if row is None:
        raise NotFound(missing(database, id))
    return row


def missing(database: Database, id: int, purpose: str = "") -> str:
    """What to say of a declaration that is not there, to who has asked for some purpose."""
    # No number is left out, so what is missing below the highest that was purged was purged.
    [highest] = database.execute("SELECT id FROM purged").fetchone()
    if 0 < id <= highest:
        return f"job {id} has been purged; the class's `keep` and the settings say when"
    return f"there is no job {id}{purpose}; `prokerja report:jobs` lists them"


def is_pending(database: Database, id: int, lane: int, status: int, due_at: float) -> bool:
    """Whether a declaration in that place is pending, in the queue or kept out of it."""
    [waits] = database.execute(WAITS, (lane, due_at, id, id)).fetchone()
    return bool(waits) and status == UNSETTLED
