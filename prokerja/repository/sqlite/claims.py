"""Claims: a worker's right to attempt what it has taken, and what came of it.

One claim covers all that one turn of a worker took. Every verb here stands inside the worker's
write transaction, so that a turn costs one commit however many jobs it settles and takes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.json import decode, encode

from prokerja import lifecycle
from prokerja.model import Claimed, FailedAttempt, Status
from prokerja.repository.sqlite.codes import COMPLETED, FAILED, QUEUE
from prokerja.verdicts import Completed, Failed, Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.lanes import Lanes, Waiting
    from prokerja.verdicts import Settlement

TURNS = 2**32
"""A token is its worker's id times this, plus the number of the worker's turn."""

READY = """
    SELECT ?, p.due_at, d.id, d.lane, d.payload, d.attempt + 1, d.timeout
    FROM pending AS p CROSS JOIN declaration AS d ON d.id = p.declaration
    WHERE p.lane = ? AND p.due_at <= ? ORDER BY p.due_at, p.declaration"""
COMPLETE = f"""
    UPDATE declaration SET status = {COMPLETED}, attempt = attempt + 1, started_at = ?,
        finished_at = ?, result = ? WHERE id = ?"""
FAIL = f"""
    UPDATE declaration SET status = {FAILED}, attempt = ?, started_at = ?, finished_at = ?
    WHERE id = ?"""
REQUEUE = "UPDATE declaration SET attempt = ?, due_at = ? WHERE id = ?"
INSERT_ATTEMPT = """
    INSERT INTO attempt
        (declaration, number, worker, started_at, finished_at, crashed, error, traceback)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
DIED = "its worker died while the job was running"


class Held(NamedTuple):
    """A declaration that a claim covers."""

    token: int
    id: int
    lane: int
    name: str


class Claims:
    """What workers hold."""

    def __init__(self, database: Database, lanes: Lanes, declarations: Declarations) -> None:
        self._database = database
        self._lanes = lanes
        self._declarations = declarations
        self._counts: Counter[tuple[int, Status]] = Counter()
        database.on_rollback.append(self._counts.clear)

    def take(
        self,
        token: int,
        ranks: Sequence[Sequence[Waiting]],
        now: float,
        choose: Callable[[Iterator[Claimed]], tuple[list[Claimed], bool]],
    ) -> bool:
        """Claim due declarations in the order of `ranks`, then of their due time.

        `choose` is given an iterator of them for each rank, and returns those it has taken from
        its front and whether it wants no more. Returns that of the last time.
        """
        enough = False
        taken: list[Claimed] = []
        for rank in ranks:
            some, enough = choose(self._ready(token, rank, now))
            # The last of each lane that was taken: all before it in that lane were taken too.
            for lane, last in {claimed.lane: claimed for claimed in some}.items():
                self._unqueue(lane, last)
            taken += some
            if enough:
                break
        if taken:
            ids = encode([claimed.id for claimed in taken]).decode()
            self._database.execute(
                "INSERT INTO claim (token, worker, claimed_at, declarations) VALUES (?, ?, ?, ?)",
                (token, token // TURNS, now, ids),
            )
            self._write_counts()
        return enough

    def started(self, token: int, ids: Iterable[tuple[int, float]]) -> None:
        """Remember that these of the claim's declarations are running, and since when.

        What the claim does not hold (any more) changes nothing.
        """
        held = self._held(token)
        self._database.executemany(
            "INSERT OR REPLACE INTO running (declaration, token, started_at) VALUES (?, ?, ?)",
            [(id, token, started_at) for id, started_at in ids if id in held],
        )

    def settle(
        self,
        token: int,
        settlements: Sequence[Settlement],
        now: float,
        chance: Callable[[], float],
    ) -> list[FailedAttempt]:
        """Write down what came of some of the claim's declarations.

        Verdicts on declarations that the claim does not hold (any more) change nothing. Returns
        the attempts that failed. `chance` gives random numbers in [0, 1) for jitter.
        """
        held = self._held(token)
        valid = [one for one in settlements if held.pop(one[0], False) is None]
        self._complete([one for one in valid if type(one[2]) is Completed], now)
        worker = token // TURNS
        failed = []
        for id, lane, verdict in valid:
            if isinstance(verdict, Failed):
                failed.append(self._fail(id, lane, verdict, worker, now, chance()))
            elif isinstance(verdict, Released):
                self._release(id, lane, worker, now, counted=verdict.counted)
        self._keep(token, held)
        self._write_counts()
        return failed

    def held_by(self, worker: int) -> list[Held]:
        """What a worker has claimed and not settled."""
        query = """
            SELECT claim.token, declaration.id, lane.id, lane.name
            FROM claim, json_each(claim.declarations) AS held
            JOIN declaration ON declaration.id = held.value JOIN lane ON lane.id = declaration.lane
            WHERE claim.token >= ? AND claim.token < ?"""
        tokens = (worker * TURNS, (worker + 1) * TURNS)
        return [Held(*row) for row in self._database.execute(query, tokens)]

    def recover(self, worker: int, now: float) -> int:
        """Put back what a dead worker held; returns how many declarations that were."""
        tokens = self._database.execute(
            "SELECT token FROM claim WHERE token >= ? AND token < ?",
            (worker * TURNS, (worker + 1) * TURNS),
        ).fetchall()
        count = 0
        for (token,) in tokens:
            held = self._held(token)
            query = "SELECT declaration, started_at FROM running WHERE token = ?"
            running = dict(self._database.execute(query, (token,)).fetchall())
            for id in held:
                [lane] = self._row("lane", id)
                if id in running:
                    self._crash(id, lane, worker, running[id], now)
                else:
                    self._release(id, lane, worker, now, counted=True)
            self._keep(token, {})
            count += len(held)
        self._write_counts()
        return count

    def _ready(self, token: int, rank: Sequence[Waiting], now: float) -> Iterator[Claimed]:
        rows = [self._database.execute(READY, (token, lane.id, now)) for lane in rank]
        merged = heapq.merge(*rows, key=itemgetter(1, 2)) if len(rows) > 1 else rows[0]
        return map(Claimed._make, merged)

    def _unqueue(self, lane: int, last: Claimed) -> None:
        """Take a lane's declarations up to and including the last out of the queue."""
        drop = "DELETE FROM pending WHERE lane = ? AND (due_at, declaration) <= (?, ?)"
        count = self._database.execute(drop, (lane, last.due_at, last.id)).rowcount
        self._counts[lane, Status.PENDING] -= count
        self._counts[lane, Status.PROCESSING] += count

    def _held(self, token: int) -> dict[int, None]:
        query = "SELECT declarations FROM claim WHERE token = ?"
        row = self._database.execute(query, (token,)).fetchone()
        return dict.fromkeys(decode(row[0])) if row else {}

    def _keep(self, token: int, held: dict[int, None]) -> None:
        ids = encode(list(held)).decode()
        if held:
            keep = "UPDATE claim SET declarations = ? WHERE token = ?"
            self._database.execute(keep, (ids, token))
        else:
            self._database.execute("DELETE FROM claim WHERE token = ?", (token,))
        gone = """
            DELETE FROM running WHERE token = ?
            AND declaration NOT IN (SELECT value FROM json_each(?))"""
        self._database.execute(gone, (token, ids))

    def _complete(self, settlements: Sequence[tuple[int, int, Any]], now: float) -> None:
        rows = [(v.started_at, v.finished_at, v.result, id) for id, _, v in settlements]
        self._database.executemany(COMPLETE, rows)
        for lane, count in Counter(lane for _, lane, _ in settlements).items():
            self._counts[lane, Status.COMPLETED] += count
            self._counts[lane, Status.PROCESSING] -= count
        for _, _, verdict in settlements:
            if verdict.follow_ups:
                self._declarations.insert(verdict.follow_ups, now)

    def _fail(
        self, id: int, lane: int, verdict: Failed, worker: int, now: float, chance: float
    ) -> FailedAttempt:
        columns = "attempt + 1, forgiven, retries, retry_after"
        attempt, forgiven, retries, retry_after = self._row(columns, id)
        self._insert_attempt(id, attempt, verdict, worker, crashed=False)
        spent = attempt - forgiven
        if lifecycle.may_retry(spent, retries):
            retry_at = now + lifecycle.backoff(retry_after, spent, chance)
            self._requeue(id, lane, attempt, retry_at)
            return FailedAttempt(id, lane, attempt, verdict.error, retry_at)
        self._fail_for_good(id, lane, attempt, verdict)
        return FailedAttempt(id, lane, attempt, verdict.error, None)

    def _crash(self, id: int, lane: int, worker: int, started_at: float, now: float) -> None:
        attempt, forgiven = self._row("attempt + 1, forgiven", id)
        verdict = Failed(started_at, now, DIED)
        self._insert_attempt(id, attempt, verdict, worker, crashed=True)
        query = """
            SELECT count(*) FROM attempt WHERE declaration = ? AND number > ? AND crashed"""
        [crashes] = self._database.execute(query, (id, forgiven)).fetchone()
        if lifecycle.survives_crash(crashes):
            self._requeue(id, lane, attempt, now)
        else:
            self._fail_for_good(id, lane, attempt, verdict)

    def _release(self, id: int, lane: int, worker: int, now: float, *, counted: bool) -> None:
        attempt, due_at, releases = self._row("attempt, due_at, returns", id)
        if counted and not lifecycle.may_release(releases):
            verdict = Failed(now, now, f"came back {releases} times without being run to its end")
            self._insert_attempt(id, attempt + 1, verdict, worker, crashed=False)
            self._fail_for_good(id, lane, attempt + 1, verdict)
            return
        count = "UPDATE declaration SET returns = returns + ? WHERE id = ?"
        self._database.execute(count, (int(counted), id))
        self._requeue(id, lane, attempt, due_at)

    def _requeue(self, id: int, lane: int, attempt: int, due_at: float) -> None:
        self._database.execute(REQUEUE, (attempt, due_at, id))
        self._database.execute(QUEUE, (lane, due_at, id))
        self._move(lane, Status.PENDING)

    def _fail_for_good(self, id: int, lane: int, attempt: int, verdict: Failed) -> None:
        self._database.execute(FAIL, (attempt, verdict.started_at, verdict.finished_at, id))
        self._move(lane, Status.FAILED)

    def _insert_attempt(
        self, id: int, attempt: int, verdict: Failed, worker: int, *, crashed: bool
    ) -> None:
        times = (verdict.started_at, verdict.finished_at)
        told = (crashed, verdict.error, verdict.traceback)
        self._database.execute(INSERT_ATTEMPT, (id, attempt, worker, *times, *told))

    def _row(self, columns: str, id: int) -> tuple[Any, ...]:
        query = f"SELECT {columns} FROM declaration WHERE id = ?"
        row: tuple[Any, ...] = self._database.execute(query, (id,)).fetchone()
        return row

    def _move(self, lane: int, to: Status) -> None:
        self._counts[lane, Status.PROCESSING] -= 1
        self._counts[lane, to] += 1

    def _write_counts(self) -> None:
        self._lanes.add_counts(self._counts)
        self._counts.clear()
