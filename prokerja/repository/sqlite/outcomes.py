"""Writes down what came of declarations that a claim held; inside the worker's transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from prokerja import lifecycle
from prokerja.model.claim import FailedAttempt
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import COMPLETED, FAILED, QUEUE
from prokerja.repository.sqlite.histogram import Histogram
from prokerja.repository.sqlite.steps import Steps
from prokerja.verdicts import OWED, TOLD, Advice, Failed, Postponed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.repository.sqlite.awaiting import Awaiting
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.endings import Endings
    from prokerja.repository.sqlite.lanes import Lanes
    from prokerja.verdicts import Parked, Refusal

COMPLETE = f"""
    UPDATE declaration SET status = {COMPLETED}, attempt = attempt + 1, started_at = ?,
        finished_at = ?, result = ? WHERE id = ?"""
CUT = "INSERT INTO cut_result (declaration, bytes, beginning) VALUES (?, ?, ?)"
FAIL = f"""
    UPDATE declaration SET status = {FAILED}, attempt = ?, started_at = ?, finished_at = ?
    WHERE id = ?"""
REQUEUE = "UPDATE declaration SET attempt = ?, due_at = ? WHERE id = ?"
POSTPONE = "UPDATE declaration SET postponed = postponed + 1, forgiven = forgiven + 1 WHERE id = ?"
REFUSE = "INSERT OR REPLACE INTO refusal (worker, lane, why) VALUES (?, ?, ?)"
NOBODY = 0
"""No worker has this id."""
HAS_BEGUN = "DELETE FROM expiry WHERE declaration = ?"
INSERT_ATTEMPT = """
    INSERT INTO attempt
        (declaration, number, worker, started_at, finished_at, crashed, error, traceback, exit_code)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class Outcomes:
    """Rows change at once, tally and histogram with `write_counts`."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        declarations: Declarations,
        endings: Endings,
        awaiting: Awaiting,
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._declarations = declarations
        self._endings = endings
        self._awaiting = awaiting
        self._histogram = Histogram(database)
        self._steps = Steps(database)
        self._counts: Counter[tuple[int, Status]] = Counter()
        database.on_rollback.append(self._counts.clear)

    def complete(self, token: int, settlements: Sequence[tuple[int, int, Any]], now: float) -> None:
        """These of a claim have completed; their follow-ups are declared."""
        self._database.log.completed(token, settlements, now)
        rows = [(v.started_at, v.finished_at, v.result, id) for id, _, v in settlements]
        self._database.executemany(COMPLETE, rows)
        self._endings.completed([id for id, _, _ in settlements])
        took: defaultdict[int, list[float]] = defaultdict(list)
        for _, lane, v in settlements:
            took[lane].append(v.finished_at - v.started_at)
        for lane, durations in took.items():
            self.move(lane, Status.PROCESSING, Status.COMPLETED, len(durations))
            self._histogram.add(lane, durations, completed=True)
        follow_ups = [one for _, _, verdict in settlements for one in verdict.follow_ups]
        if follow_ups:
            self._endings.free_keys()  # a job may declare the next of its own key
            self._declarations.insert(follow_ups, now, strict=False)
        for id, _, verdict in settlements:
            if verdict.cut:
                self._database.execute(CUT, (id, *verdict.cut))
            if verdict.told == OWED:
                self._endings.untold(id)
        if settlements and self._steps.exist():
            self._steps.close([id for id, _, _ in settlements])
        if settlements and self._awaiting.has_answers():
            self._awaiting.drop_answers(id for id, _, _ in settlements)

    def fail(
        self,
        id: int,
        lane: int,
        verdict: Failed,
        worker: int,
        now: float,
        chance: float,
        kind: str = "failed",
    ) -> FailedAttempt:
        """An attempt has failed: try again later, or no more; `kind` is what the log calls that."""
        failure = self._fail(id, lane, verdict, worker, now, chance)
        began = None if worker == NOBODY else verdict.started_at  # told when it was parked
        self._database.log.failed(failure, began, now, kind)
        return failure

    def _fail(
        self, id: int, lane: int, verdict: Failed, worker: int, now: float, chance: float
    ) -> FailedAttempt:
        columns = "attempt + 1, forgiven, retries, retry_after, postponed"
        attempt, forgiven, retries, retry_after, postponed = self._row(columns, id)
        self._insert_attempt(id, attempt, verdict, worker, crashed=False)
        self._histogram.add(lane, [verdict.finished_at - verdict.started_at], completed=False)
        self._awaiting.drop_answers([id])
        spent = attempt - forgiven
        if verdict.advice is Advice.LATER:
            again, waits = lifecycle.may_postpone(postponed), postponed + 1
            self._database.execute(POSTPONE, (id,))
        else:
            again, waits = lifecycle.may_retry(spent, retries), spent
        if not again or verdict.advice is Advice.NEVER:
            self._fail_for_good(id, lane, attempt, verdict)
            return FailedAttempt(id, lane, attempt, verdict.error, None)
        pause = lifecycle.retry_pause(retry_after, waits, chance)
        retry_at = now + (pause if verdict.retry_in is None else verdict.retry_in)
        self._requeue(id, lane, attempt, retry_at)
        return FailedAttempt(id, lane, attempt, verdict.error, retry_at)

    def cancel(self, id: int, lane: int, error: str, worker: int, now: float) -> FailedAttempt:
        """It was to end, and has not told how it did; it may have been running or not."""
        query = "SELECT started_at FROM running WHERE declaration = ?"
        [started_at] = self._database.execute(query, (id,)).fetchone() or (None,)
        [attempt] = self._row("attempt + 1", id)
        row = (id, attempt, worker, started_at, now, False, error, None, None)
        self._database.execute(INSERT_ATTEMPT, row)
        if started_at is not None:
            self._histogram.add(lane, [now - started_at], completed=False)
        self._end(id, lane, attempt, started_at, now)
        failure = FailedAttempt(id, lane, attempt, error, None)
        self._database.log.failed(failure, None, now, "cancelled")
        return failure

    def postpone(
        self, id: int, lane: int, verdict: Postponed, worker: int, now: float
    ) -> FailedAttempt | None:
        """It has asked to be run later: it goes back without an attempt, or has done so too often.

        An answer that it was given is kept.
        """
        attempt, postponed = self._row("attempt, postponed", id)
        if lifecycle.may_postpone(postponed, lifecycle.MAX_LATER):
            count = "UPDATE declaration SET postponed = postponed + 1 WHERE id = ?"
            self._database.execute(count, (id,))
            self._database.execute(HAS_BEGUN, (id,))
            due_at = now + verdict.seconds
            self._requeue(id, lane, attempt, due_at)
            self._database.log.left("postponed", id, lane, verdict.started_at, due_at, now)
            return None
        times = (verdict.started_at, verdict.finished_at)
        failed = Failed(*times, lifecycle.too_late(postponed))
        self._histogram.add(lane, [failed.finished_at - failed.started_at], completed=False)
        self._insert_attempt(id, attempt + 1, failed, worker, crashed=False)
        self._fail_for_good(id, lane, attempt + 1, failed)
        failure = FailedAttempt(id, lane, attempt + 1, failed.error, None)
        self._database.log.failed(failure, verdict.started_at, now)
        return failure

    def park(self, id: int, lane: int, verdict: Parked, now: float) -> None:
        """It waits to be resolved, still processing."""
        self._database.execute(HAS_BEGUN, (id,))
        self._awaiting.drop_answers([id])
        until = self._awaiting.park(id, lane, verdict, now)
        self._database.log.left("awaiting", id, lane, verdict.started_at, until, now)

    def time_out(self, now: float, chance: Callable[[], float]) -> list[FailedAttempt]:
        """Nobody has resolved these in time: their attempts have failed."""
        return [
            self.fail(id, lane, Failed(started_at, now, error), NOBODY, now, chance())
            for id, lane, started_at, error in self._awaiting.overdue(now)
        ]

    def crash(self, id: int, lane: int, worker: int, started_at: float, now: float) -> None:
        """The worker died while it ran: try again at once, or no more."""
        attempt, forgiven = self._row("attempt + 1, forgiven", id)
        verdict = Failed(started_at, now, lifecycle.WORKER_DIED)
        self._insert_attempt(id, attempt, verdict, worker, crashed=True)
        self._histogram.add(lane, [now - started_at], completed=False)
        query = """
            SELECT count(*) FROM attempt WHERE declaration = ? AND number > ? AND crashed"""
        [crashes] = self._database.execute(query, (id, forgiven)).fetchone()
        if lifecycle.survives_crash(crashes):
            self._requeue(id, lane, attempt, now)
            self._database.log.add("recovered", now, (id, lane, worker, attempt))
        else:
            self._fail_for_good(id, lane, attempt, verdict)
            failure = FailedAttempt(id, lane, attempt, verdict.error, None)
            self._database.log.failed(failure, None, now)

    def release(
        self,
        id: int,
        lane: int,
        worker: int,
        now: float,
        *,
        counted: bool,
        refusal: Refusal | None = None,
        dead: bool = False,
    ) -> None:
        """It goes back without an attempt, unless that has happened too often.

        Its worker may be `dead`.
        """
        attempt, due_at, releases = self._row("attempt, due_at, returns", id)
        if counted and not lifecycle.may_release(releases):
            verdict = Failed(now, now, f"came back {releases} times without being run to its end")
            self._insert_attempt(id, attempt + 1, verdict, worker, crashed=False)
            self._fail_for_good(id, lane, attempt + 1, verdict)
            failure = FailedAttempt(id, lane, attempt + 1, verdict.error, None)
            self._database.log.failed(failure, None, now)
            return
        if refusal is not None:
            lane = self._refuse(id, lane, worker, refusal)
        count = "UPDATE declaration SET returns = returns + ? WHERE id = ?"
        self._database.execute(count, (int(counted), id))
        self._requeue(id, lane, attempt, due_at)
        if dead:
            self._database.log.add("recovered", now, (id, lane, worker, None))
        elif counted:
            self._database.log.add("interrupted", now, (id, lane))

    def _refuse(self, id: int, lane: int, worker: int, refusal: Refusal) -> int:
        """The worker takes no more of its kind; returns the lane where that waits for others."""
        apart = self._lanes.apart(lane, refusal.fields) if refusal.fields else lane
        self._database.execute(REFUSE, (worker, apart, refusal.why))
        if apart != lane:
            self._database.execute("UPDATE declaration SET lane = ? WHERE id = ?", (apart, id))
            self._counts[lane, Status.PROCESSING] -= 1
            self._counts[apart, Status.PROCESSING] += 1
        return apart

    def _requeue(self, id: int, lane: int, attempt: int, due_at: float) -> None:
        self._database.execute(REQUEUE, (attempt, due_at, id))
        self._database.execute(QUEUE, (lane, due_at, id))
        self.move(lane, Status.PROCESSING, Status.PENDING)

    def _fail_for_good(self, id: int, lane: int, attempt: int, verdict: Failed) -> None:
        times = verdict.started_at, verdict.finished_at
        self._end(id, lane, attempt, *times, told=verdict.told == TOLD)

    def _end(
        self,
        id: int,
        lane: int,
        attempt: int,
        started_at: float | None,
        finished_at: float,
        *,
        told: bool = False,
    ) -> None:
        self._awaiting.drop_answers([id])
        self._database.execute(FAIL, (attempt, started_at, finished_at, id))
        self.move(lane, Status.PROCESSING, Status.FAILED)
        self._endings.failed(id, told=told)

    def _insert_attempt(
        self, id: int, attempt: int, verdict: Failed, worker: int, *, crashed: bool
    ) -> None:
        times = (verdict.started_at, verdict.finished_at)
        details = (crashed, verdict.error, verdict.traceback, verdict.exit_code)
        self._database.execute(INSERT_ATTEMPT, (id, attempt, worker, *times, *details))

    def _row(self, columns: str, id: int) -> tuple[Any, ...]:
        query = f"SELECT {columns} FROM declaration WHERE id = ?"
        row: tuple[Any, ...] = self._database.execute(query, (id,)).fetchone()
        return row

    def move(self, lane: int, old: Status, new: Status, count: int = 1) -> None:
        """Count declarations of a lane that have changed their status."""
        self._counts[lane, old] -= count
        self._counts[lane, new] += count

    def write_counts(self) -> None:
        """Bring the tally and the histogram up to date with all that was written."""
        self._lanes.add_counts(self._counts)
        self._counts.clear()
        self._histogram.write()
