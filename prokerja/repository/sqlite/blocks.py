"""What keeps an open declaration out of the queue: a hold, others it depends on, a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import lifecycle
from prokerja.errors import RequestError
from prokerja.model.claim import Extra
from prokerja.model.record import Blocked, Parent
from prokerja.repository.sqlite.codes import COMPLETED, FAILED, status_of
from prokerja.repository.sqlite.parents import ParentResults
from prokerja.repository.sqlite.places import is_pending, missing, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.model.declaration import Conditions
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.endings import Endings

BLOCK = "INSERT OR REPLACE INTO blocked (declaration, lane, held) VALUES (?, ?, ?)"
UNQUEUE = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
DEPEND = "INSERT OR IGNORE INTO dependency (child, parent, if_fails, met) VALUES (?, ?, ?, ?)"
SUCCEED = "INSERT INTO successor (declaration, batch) VALUES (?, ?)"
WAITS = """
    SELECT EXISTS (SELECT 1 FROM dependency WHERE child = :id AND NOT met)
        OR EXISTS (SELECT 1 FROM successor WHERE declaration = :id AND completed IS NULL)"""
PARENTS = f"""
    SELECT one.parent, status, met, EXISTS (
        SELECT 1 FROM claim, json_each(claim.declarations) AS held WHERE held.value = one.parent
        UNION ALL SELECT 1 FROM awaiting WHERE declaration = one.parent
    ) FROM dependency AS one LEFT JOIN declaration AS d ON d.id = one.parent
    WHERE child = ? ORDER BY met, status IS {FAILED} DESC, one.parent"""
PURGED = """
    SELECT min(parent) FROM dependency WHERE child = ? AND NOT met
    AND NOT EXISTS (SELECT 1 FROM declaration WHERE id = parent)"""
GIVEN_COUNTS = """
    SELECT declaration, completed, failed
    FROM claim JOIN json_each(claim.declarations) AS held ON token = ?
    JOIN successor ON declaration = held.value"""


class Blocks:
    """Inside the transaction at hand, but for `hold` and `release`, which have their own."""

    def __init__(self, database: Database, endings: Endings) -> None:
        self._database = database
        self._endings = endings

    def block(
        self, id: int, lane: int, due_at: float, wanted: Conditions, *, strict: bool
    ) -> str | None:
        """Keep a new declaration out of the queue for as long as it has to wait.

        Returns the error of one that can never begin. Raises NotFound if a parent or the batch
        is not there; unless `strict`, that is such an error, or means that none of it is open.
        """
        error = None
        for parent in wanted.after:
            met, fault = self._meets(id, parent, wanted.if_parent_fails, strict=strict)
            error = error or fault
            self._database.execute(DEPEND, (id, parent, wanted.if_parent_fails, met))
        if wanted.after_batch is not None:
            self._succeed(id, wanted.after_batch, strict=strict)
        if wanted.hold or self._waits(id):
            self._block(id, lane, due_at, held=wanted.hold)
        return error

    def block_again(self, id: int, lane: int, due_at: float) -> str | None:
        """Keep one that has got a fresh start out of the queue, if it waits as it did before.

        Returns the error of one that waits for what was purged, and can never begin.
        """
        drop = "DELETE FROM held_before WHERE declaration = ?"
        held = self._database.execute(drop, (id,)).rowcount > 0
        if held or self._waits(id):
            self._block(id, lane, due_at, held=held)
        [purged] = self._database.execute(PURGED, (id,)).fetchone()
        return None if purged is None else lifecycle.parent_purged(purged)

    def hold(self, ids: Iterable[int]) -> None:
        """Keep pending declarations out of the queue until they are released, all or none.

        Raises NotFound or RequestError naming the first id that is not there or not pending.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                lane, status, due_at = place_of(self._database, id)
                if not is_pending(self._database, id, lane, status, due_at):
                    raise RequestError(f"job {id} is not pending; only pending jobs can be held")
                self._block(id, lane, due_at, held=True)

    def release(self, ids: Iterable[int]) -> None:
        """Hold declarations no longer, all or none.

        Raises NotFound or RequestError naming the first id that is not there or not held.
        """
        with self._database.writing():
            for id in dict.fromkeys(ids):
                place_of(self._database, id)
                drop = "UPDATE blocked SET held = 0 WHERE declaration = ? AND held"
                if not self._database.execute(drop, (id,)).rowcount:
                    raise RequestError(
                        f"job {id} is not held; `prokerja report:job {id}` says why it is not"
                        " running"
                    )
                self._endings.unblock((id,))

    def of(self, id: int) -> Blocked | None:
        """What a declaration waits for beside its due time; None if it waits for nothing."""
        query = "SELECT held FROM blocked WHERE declaration = ?"
        row = self._database.execute(query, (id,)).fetchone()
        if row is None:
            return None
        query = "SELECT batch FROM successor WHERE declaration = ? AND completed IS NULL"
        [batch] = self._database.execute(query, (id,)).fetchone() or (None,)
        return Blocked(bool(row[0]), batch, [one for one in self.parents(id) if not one.met])

    def parents(self, id: int) -> list[Parent]:
        """What a declaration depends on: first what it still waits for, of that the failed."""
        rows = self._database.execute(PARENTS, (id,))
        return [
            Parent(parent, status_of(code, claimed=bool(claimed)), bool(met))
            for parent, code, met, claimed in rows
        ]

    def extras(self, token: int) -> dict[int, Extra]:
        """What a claim's declarations are given of those they have waited for, by id."""
        given = ParentResults(self._database).of_claim(token)
        found = {id: Extra(parents=parents) for id, parents in given}
        for id, completed, failed in self._database.execute(GIVEN_COUNTS, (token,)):
            counts = {"completed": completed, "failed": failed}
            found[id] = found.get(id, Extra())._replace(counts=counts)
        return found

    def _meets(
        self, id: int, parent: int, if_fails: str, *, strict: bool
    ) -> tuple[bool, str | None]:
        """Whether a parent has ended as it was to, and the error if it has not, and is to end."""
        query = "SELECT status FROM declaration WHERE id = ?"
        row = self._database.execute(query, (parent,)).fetchone() if parent < id else None
        if row is None:
            if strict:
                raise RequestError(missing(self._database, parent, " to wait for"))
            return False, lifecycle.parent_missing(parent)
        [status] = row
        if status == FAILED and if_fails == "cancel":
            return False, lifecycle.parent_failed(parent)
        return status == COMPLETED or (status == FAILED and if_fails == "run"), None

    def _succeed(self, id: int, batch: str, *, strict: bool) -> None:
        if strict:
            query = "SELECT 1 FROM declaration WHERE batch = ? AND id < ?"
            if self._database.execute(query, (batch, id)).fetchone() is None:
                from prokerja.text import quoted

                raise RequestError(
                    f"there is no batch {quoted(batch)} to wait for; declare it first"
                )
        self._database.execute(SUCCEED, (id, batch))
        self._endings.succeed(batch)

    def _waits(self, id: int) -> bool:
        [waits] = self._database.execute(WAITS, {"id": id}).fetchone()
        return bool(waits)

    def _block(self, id: int, lane: int, due_at: float, *, held: bool) -> None:
        self._database.execute(UNQUEUE, (lane, due_at, id))
        self._database.execute(BLOCK, (id, lane, held))
