"""What follows from the end of declarations: keys are free again, and others may begin."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja import lifecycle
from prokerja.model.claim import FailedAttempt
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import COMPLETED, FAILED, QUEUE, UNSETTLED
from prokerja.repository.sqlite.happenings import Happenings
from prokerja.repository.sqlite.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes

    Waiting = tuple[int, int, float, str]
    """The id of a declaration that has not begun, its lane's, its due time; and its error."""

USED = """
    SELECT EXISTS (SELECT 1 FROM coalescing WHERE open),
        EXISTS (SELECT 1 FROM dependency WHERE NOT met),
        EXISTS (SELECT 1 FROM successor WHERE completed IS NULL)"""
FREE = """
    UPDATE coalescing SET open = 0
    WHERE open AND declaration IN (SELECT value FROM json_each(?))"""
MEET = """
    UPDATE dependency SET met = 1
    WHERE NOT met AND parent IN (SELECT value FROM json_each(:parents))
        AND (:completed OR if_fails = 'run')
    RETURNING child"""
ORPHANED = """
    SELECT child, d.lane, d.due_at, min(parent) FROM dependency
    JOIN declaration AS d ON d.id = child JOIN blocked ON blocked.declaration = child
    WHERE NOT met AND (if_fails = 'cancel' OR if_fails = 'wait' AND :purged)
    AND parent IN (SELECT value FROM json_each(:parents)) GROUP BY child"""
ENDED_BATCHES = """
    SELECT DISTINCT batch FROM declaration WHERE id IN (SELECT value FROM json_each(?))
    AND batch IN (SELECT batch FROM successor WHERE completed IS NULL)"""
SUCCEED = f"""
    UPDATE successor SET (completed, failed, latest) = (
        SELECT coalesce(sum(status = {COMPLETED}), 0), coalesce(sum(status = {FAILED}), 0),
            coalesce(max(id), 0)
        FROM declaration WHERE batch = :batch AND id > (
            SELECT coalesce(max(latest), 0) FROM successor WHERE batch = :batch
        )
    )
    WHERE batch = :batch AND completed IS NULL AND NOT EXISTS (
        SELECT 1 FROM declaration WHERE batch = :batch AND status = {UNSETTLED} AND id NOT IN (
            SELECT declaration FROM successor WHERE batch = :batch AND completed IS NULL
        )
    )
    RETURNING declaration"""
"""A name may be used again: what was counted by an earlier successor is of an earlier batch."""
FREED = """
    SELECT blocked.lane, due_at, id FROM blocked JOIN declaration ON id = blocked.declaration
    WHERE id IN (SELECT value FROM json_each(?)) AND NOT held
    AND NOT EXISTS (SELECT 1 FROM dependency WHERE child = id AND NOT met)
    AND NOT EXISTS (SELECT 1 FROM successor WHERE declaration = id AND completed IS NULL)"""
OVERLOOKED = f"""
    SELECT DISTINCT parent FROM dependency JOIN declaration ON id = parent
    WHERE NOT met AND (status = {COMPLETED} OR status = {FAILED} AND if_fails = 'run')"""
OVERLOOKED_KEYS = f"""
    UPDATE coalescing SET open = 0 WHERE open AND declaration IN (
        SELECT id FROM declaration WHERE id = declaration AND status <> {UNSETTLED})"""
UNBLOCK = "DELETE FROM blocked WHERE declaration = ?"
REMEMBER_HOLD = """
    INSERT OR IGNORE INTO held_before (declaration)
    SELECT declaration FROM blocked WHERE declaration = ? AND held"""
FAIL = f"""
    UPDATE declaration SET status = {FAILED}, attempt = attempt + 1, started_at = NULL,
        finished_at = ? WHERE id = ?"""
TELL = """
    INSERT INTO attempt (declaration, number, worker, finished_at, crashed, error)
    SELECT id, attempt, 0, ?, 0, ? FROM declaration WHERE id = ?"""


class Endings:
    """What has ended is noted, and all that follows is written at once, in the same transaction."""

    def __init__(
        self, database: Database, lanes: Lanes, tell: list[FailedAttempt] | None = None
    ) -> None:
        """`tell` takes those that have failed without having begun."""
        self._database = database
        self._lanes = lanes
        self._completed: list[int] = []
        self._failed: list[int] = []
        self._hooks = Hooks(database)
        self._happenings = Happenings(database)
        self._asked_for: set[int] = set()
        """Those that somebody has ended, who need not be told."""
        self._untold: dict[int, Status] = {}
        """What those were whose jobs have not heard of their end."""
        self._tell = tell
        database.on_rollback += [
            self._completed.clear, self._failed.clear, self._untold.clear, self._asked_for.clear,
        ]  # fmt: skip
        if tell is not None:
            database.on_rollback.append(tell.clear)

    def completed(self, ids: Iterable[int]) -> None:
        """These have completed."""
        self._completed += ids

    def failed(self, id: int, *, told: bool = False) -> None:
        """It has failed for good, and its job is `told` of that."""
        self._failed.append(id)
        if not told:
            self.untold(id)

    def asked_for(self, ids: Iterable[int]) -> None:
        """If these have failed, it is because somebody wanted them to end, or they are purged."""
        self._asked_for.update(ids)

    def untold(self, id: int, was: Status = Status.PROCESSING) -> None:
        """It has ended, and its job has not heard of that."""
        self._untold[id] = was

    def fail_waiting(self, rows: Sequence[Waiting], now: float, kind: str = "failed") -> None:
        """End open declarations that nobody has claimed; `kind` is what the log calls that."""
        drop = "DELETE FROM pending WHERE lane = ? AND due_at = ? AND declaration = ?"
        execute, executemany = self._database.execute, self._database.executemany
        executemany(drop, [(lane, due_at, id) for id, lane, due_at, _ in rows])
        if execute("SELECT EXISTS (SELECT 1 FROM blocked)").fetchone()[0]:
            executemany(REMEMBER_HOLD, [(id,) for id, *_ in rows])
            executemany(UNBLOCK, [(id,) for id, *_ in rows])
        executemany("DELETE FROM answer WHERE declaration = ?", [(id,) for id, *_ in rows])
        executemany(FAIL, [(now, id) for id, *_ in rows])
        executemany(TELL, [(now, error, id) for id, _, _, error in rows])
        counts = Counter(lane for _, lane, _, _ in rows)
        for status, sign in ((Status.PENDING, -1), (Status.FAILED, 1)):
            self._lanes.add_counts({(lane, status): sign * n for lane, n in counts.items()})
        self._database.log.unbegun(kind, rows, now)
        self._failed += [id for id, *_ in rows]
        self._untold |= {id: Status.PENDING for id, *_ in rows}
        if self._tell is not None:
            self._tell += [FailedAttempt(id, lane, 0, error, None) for id, lane, _, error in rows]

    def write(self, now: float, *, purged: bool = False) -> None:
        """Let begin what has waited for what was noted, or end it; `purged`: that is gone."""
        while self._completed or self._failed:
            unasked = [id for id in self._failed if id not in self._asked_for]
            self._happenings.ended(self._completed, unasked, now)
            # A list of numbers is JSON as Python shows it.
            completed, failed = str(self._completed), str(self._failed)
            ended = str([*self._completed, *self._failed])
            self._completed.clear()
            self._failed.clear()
            execute = self._database.execute
            have_keys, have_parents, have_batches = execute(USED).fetchone()
            if have_keys:
                self._free(ended)
            if have_parents:
                self._follow(completed, failed, now, purged=purged)
                purged = False  # what ends with those is not
            if have_batches:
                for (batch,) in execute(ENDED_BATCHES, (ended,)).fetchall():
                    self.succeed(batch)
        self._hooks.owe(self._untold)
        self._untold.clear()
        self._asked_for.clear()

    def free_keys(self) -> None:
        """Have what was noted stand for no key any more, before the rest is written."""
        if self._database.execute(USED).fetchone()[0]:
            self._free(str([*self._completed, *self._failed]))

    def mend(self, now: float) -> None:
        """Write what follows from ends that a program has written which knew of none of this."""
        execute = self._database.execute
        have_keys, have_parents, have_batches = execute(USED).fetchone()
        if have_keys:
            execute(OVERLOOKED_KEYS)
        if have_parents:
            parents = str([parent for (parent,) in execute(OVERLOOKED).fetchall()])
            met = execute(MEET, {"parents": parents, "completed": True}).fetchall()
            self.unblock(dict.fromkeys(child for (child,) in met))
        if have_batches:
            waiting = "SELECT DISTINCT batch FROM successor WHERE completed IS NULL"
            for (batch,) in execute(waiting).fetchall():
                self.succeed(batch)

    def succeed(self, batch: str) -> None:
        """Let begin what waits until no other of a batch is open, if that is so."""
        self.unblock(id for (id,) in self._database.execute(SUCCEED, {"batch": batch}).fetchall())

    def unblock(self, ids: Iterable[int]) -> None:
        """Queue those of these that wait for nothing any more."""
        rows = self._database.execute(FREED, (str(list(ids)),)).fetchall()
        self._database.executemany(QUEUE, rows)
        self._database.executemany(UNBLOCK, [(id,) for _, _, id in rows])

    def _free(self, ids: str) -> None:
        self._database.execute(FREE, (ids,))

    def _follow(self, completed: str, failed: str, now: float, *, purged: bool) -> None:
        """Meet, or end, what depends on these."""
        execute = self._database.execute
        orphans = execute(ORPHANED, {"parents": failed, "purged": purged}).fetchall()
        tell = lifecycle.parent_purged if purged else lifecycle.parent_failed
        self.fail_waiting([(id, lane, due, tell(parent)) for id, lane, due, parent in orphans], now)
        met = execute(MEET, {"parents": completed, "completed": True}).fetchall()
        met += execute(MEET, {"parents": failed, "completed": False}).fetchall()
        self.unblock(dict.fromkeys(child for (child,) in met))
