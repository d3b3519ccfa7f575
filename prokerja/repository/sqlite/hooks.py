"""Jobs whose classes have hooks: what those are given, and ends that they are yet to be told of.

An attempt that ends in its realizer has its hooks run there. Whoever ends one elsewhere (or before
it has begun) makes a row here, if the job's class has hooks for that; a worker claims it, and
deletes it once they have run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.model.claim import Claimed, Ending, Extra, Hooking
from prokerja.model.declaration import Lane
from prokerja.repository.sqlite.codes import FAILED, TURNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from prokerja.model.declaration import Status
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.verbs import Want
    from prokerja.verdicts import Settlement

    Given = dict[tuple[int, int], Extra]

MAX_TRIES = 5
"""How often the hooks of one end are begun at the most."""
AT_ONCE = 100
OWE = """
    INSERT OR REPLACE INTO untold (declaration, was)
    SELECT declaration.id, ? FROM declaration JOIN lane ON lane.id = declaration.lane
    JOIN hooked USING (name, directory) WHERE declaration.id = ?"""
UNTOLD = f"""
    SELECT d.id, d.lane, d.payload, d.attempt, d.timeout, was, d.status = {FAILED},
        (SELECT error FROM attempt WHERE declaration = d.id ORDER BY number DESC LIMIT 1),
        queue, name, priority, directory
    FROM untold JOIN declaration AS d ON d.id = untold.declaration JOIN lane ON lane.id = d.lane
    WHERE untold.token IS NULL ORDER BY untold.declaration LIMIT {AT_ONCE}"""
RETURN = "UPDATE untold SET token = NULL, tries = tries + ?1"
GIVE_UP = f"DELETE FROM untold WHERE token IS NULL AND tries >= {MAX_TRIES}"
HOOKED = """
    SELECT d.id, retries + forgiven - attempt
    FROM claim CROSS JOIN json_each(claim.declarations) AS held
    CROSS JOIN declaration AS d ON d.id = held.value
    WHERE token = ? AND lane IN (SELECT value FROM json_each(?))"""


class Hooks:
    """Every verb stands inside the transaction at hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learn(
        self, names: Iterable[str], told: Collection[str], directories: Sequence[str]
    ) -> None:
        """Of the jobs of these directories, and of none, some have hooks that hear of an end."""
        places = [(name, place) for name in names for place in ("", *directories)]
        drop = "DELETE FROM hooked WHERE name = ? AND directory = ?"
        if self._database.execute("SELECT 1 FROM hooked LIMIT 1").fetchone():
            self._database.executemany(drop, places)
        insert = "INSERT INTO hooked (name, directory) VALUES (?, ?)"
        self._database.executemany(insert, [place for place in places if place[0] in told])

    def owe(self, ended: Mapping[int, Status]) -> None:
        """These have ended, and were something else before; nobody has told their jobs."""
        if ended and self._database.execute("SELECT 1 FROM hooked LIMIT 1").fetchone():
            rows = [(status.value, id) for id, status in ended.items()]
            self._database.executemany(OWE, rows)

    def is_owed(self, id: int) -> bool:
        """Whether a job is yet to be told of its end."""
        query = "SELECT 1 FROM untold WHERE declaration = ?"
        return self._database.execute(query, (id,)).fetchone() is not None

    def claim(self, token: int, want: Want, now: float) -> tuple[Given, dict[int, str]]:
        """Give a worker what it has room for; returns that, and the names of the lanes."""
        extras: Given = {}
        names: dict[int, str] = {}
        offered = []
        for id, lane, payload, attempt, timeout, was, failed, error, *place in self._untold():
            if want.taking.takes(Lane(*place)):
                status = "failed" if failed else "completed"
                ending = Ending(was, status, error if failed else None)
                extras[token, id] = Extra(hooks=Hooking(ended=ending))
                names[lane] = place[1]
                offered.append(Claimed(token, now, id, lane, payload, attempt, timeout))
        if not offered or want.assign_ended is None:
            return {}, {}
        taken, _ = want.assign_ended(iter(offered))
        claim = "UPDATE untold SET token = ? WHERE declaration = ?"
        self._database.executemany(claim, [(token, one.id) for one in taken])
        return {(token, one.id): extras[token, one.id] for one in taken}, names

    def settle(self, token: int, settlements: Iterable[Settlement]) -> None:
        """The hooks of some that were claimed have run, or are to be run again."""
        for id, _, verdict in settlements:
            if getattr(verdict, "have_run", False):
                drop = "DELETE FROM untold WHERE declaration = ? AND token = ?"
                self._database.execute(drop, (id, token))
            else:
                counted = getattr(verdict, "counted", True)
                back = f"{RETURN} WHERE declaration = ?2 AND token = ?3"
                self._database.execute(back, (counted, id, token))
        self._database.execute(GIVE_UP)

    def put_back(self, worker: int) -> None:
        """A worker is dead."""
        tokens = (1, worker * TURNS, (worker + 1) * TURNS)
        self._database.execute(f"{RETURN} WHERE token >= ?2 AND token < ?3", tokens)
        self._database.execute(GIVE_UP)

    def given(self, token: int, lanes: Iterable[int]) -> dict[int, Hooking]:
        """What the claim's attempts in lanes with hooks are given for them, by id."""
        rows = self._database.execute(HOOKED, (token, str(list(lanes))))
        return {id: Hooking(left) for id, left in rows}

    def describe(self, descriptions: Iterable[tuple[int, str]]) -> None:
        """What jobs call themselves, by id."""
        insert = "INSERT OR REPLACE INTO description (declaration, text) VALUES (?, ?)"
        self._database.executemany(insert, descriptions)

    def _untold(self) -> list[Any]:
        some = "SELECT 1 FROM untold WHERE token IS NULL LIMIT 1"
        if self._database.execute(some).fetchone() is None:
            return []
        return self._database.execute(UNTOLD).fetchall()
