"""Claims: a worker's right to attempt what it has taken, and what came of it.

One claim covers all that one turn of a worker took. Every verb here stands inside the worker's
write transaction, so that a turn costs one commit however many jobs it settles and takes.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from msgspec.json import decode, encode

from prokerja.errors import StoreError
from prokerja.model.claim import Claimed, Extra, FailedAttempt
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.awaiting import Awaiting
from prokerja.repository.sqlite.blocks import Blocks
from prokerja.repository.sqlite.cancellations import Cancellations
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.expiry import Expiry
from prokerja.repository.sqlite.extras import Extras
from prokerja.repository.sqlite.hooks import Hooks
from prokerja.repository.sqlite.notices import Notices
from prokerja.repository.sqlite.outcomes import Outcomes
from prokerja.repository.sqlite.progress import write_progress
from prokerja.repository.sqlite.steps import Steps
from prokerja.repository.verbs import Recovered, Turn
from prokerja.verdicts import Advice, Completed, Failed, HooksEnded, Parked, Postponed, Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prokerja.model.claim import Reported
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.lanes import Lanes, Waiting
    from prokerja.repository.verbs import Want
    from prokerja.verdicts import Ended, Settlement

READY = """
    SELECT ?, p.due_at, d.id, d.lane, d.payload, d.attempt + 1, d.timeout
    FROM pending AS p CROSS JOIN declaration AS d ON d.id = p.declaration
    WHERE p.lane = ? AND p.due_at <= ? ORDER BY p.due_at, p.declaration"""


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
        self._unbegun: list[FailedAttempt] = []
        """Those that have failed in this turn without having begun."""
        self._endings = Endings(database, lanes, self._unbegun)
        self._awaiting = Awaiting(database, lanes)
        self._outcomes = Outcomes(database, lanes, declarations, self._endings, self._awaiting)
        self._cancellations = Cancellations(database, lanes)
        self._hooks = Hooks(database)
        self._expiry = Expiry(database, self._endings)
        self.extras = Extras(database, Blocks(database, self._endings), self._awaiting, self._hooks)
        self._steps = Steps(database)
        self.notices = Notices(database, lanes, declarations)
        self._turns = itertools.count(1)
        self.chance: Callable[[], float] = random.random
        """For jitter: random numbers in [0, 1)."""

    def turn(
        self,
        worker: int,
        settlements: Mapping[int, Sequence[Settlement]],
        started: Sequence[tuple[Claimed, float]],
        want: Want | None,
        now: float,
        reported: Reported | None = None,
        *,
        leaving: bool,
    ) -> Turn:
        """Settle, remember what is running, and claim; see `Repository.turn`."""
        failed: list[FailedAttempt] = []
        names: dict[int, str] = {}
        lost: list[tuple[int, int]] = []
        next_due, deadline, extras = None, None, dict[tuple[int, int], Extra]()
        with self._database.writing(draining=leaving):
            if reported is not None:
                lost = self.report(reported, now)
            for token, some in settlements.items():
                failed += self.settle(token, some, now, self.chance)
            for job, since in started:
                self.started(job.token, [(job.id, since)])
            late: list[FailedAttempt] = []
            if not leaving:
                late, deadline = self._time_out(now)
            deadline = earliest(deadline, self._expiry.expire(now))
            self._endings.write(now)
            if not leaving:
                deadline = earliest(deadline, self.notices.tell(now))
            late += self._take_unbegun()
            failed += late
            names = {lane: self._name(lane) for _, lane, *_ in late}
            if want is not None:
                ranks = self._lanes.waiting(want.taking, worker)
                lanes = list(itertools.chain(*ranks))
                names |= {waiting.id: waiting.lane.name for waiting in lanes}
                told, told_names = self._hooks.claim(self.next_token(worker), want, now)
                names |= told_names
                token = self.next_token(worker)
                enough = self.take(token, ranks, now, want.assign)
                hooked = [one.id for one in lanes if one.lane.name in want.hooked]
                extras = {**told, **self.extras.of(token, self._held(token), hooked)}
                next_due = self._lanes.next_due(lanes)
                if next_due is not None and next_due <= now and not enough:
                    raise StoreError(
                        f"{self._database.path} is damaged: it queues jobs that are not there;"
                        " restore a backup or try sqlite3's .recover"
                    )
        return Turn(failed, names, next_due, deadline, extras, lost)

    def _time_out(self, now: float) -> tuple[list[FailedAttempt], float | None]:
        """End attempts that nobody has resolved in time; returns them, and the next deadline."""
        deadline = self._awaiting.next_deadline()
        if deadline is None or deadline > now:
            return [], deadline
        failed = self._outcomes.time_out(now, self.chance)
        self._outcomes.write_counts()
        return failed, self._awaiting.next_deadline()

    def deadline(self, now: float) -> float | None:
        """When the next of those that wait may fail, or somebody is to be told of something."""
        waiting = self._awaiting.next_deadline(), self._expiry.next(now)
        return earliest(*waiting, self.notices.due(now))

    def mend(self, now: float) -> None:
        """Let go on what has waited for those that an older program has ended."""
        self._endings.mend(now)

    def _take_unbegun(self) -> list[FailedAttempt]:
        unbegun = self._unbegun.copy()
        self._unbegun.clear()
        return unbegun

    def _name(self, lane: int) -> str:
        [name] = self._database.execute("SELECT name FROM lane WHERE id = ?", (lane,)).fetchone()
        return str(name)

    def report(self, reported: Reported, now: float) -> list[tuple[int, int]]:
        """Write down what running jobs have told; returns those of the steps that are not held."""
        steps, progress, descriptions = reported
        claims = {claim for claim, _, _ in steps}
        claims |= {claim for claim, _ in (*progress, *descriptions)}
        held = {token: self._held(token) for token in {token for token, _ in claims}}
        lost = {(token, id) for token, id in claims if id not in held[token]}
        done = [(claim[1], name, result) for claim, name, result in steps if claim not in lost]
        self._steps.keep(done, now)
        latest = [(claim[1], one) for claim, one in progress if claim not in lost]
        write_progress(self._database, latest)
        self._hooks.describe([(claim[1], one) for claim, one in descriptions if claim not in lost])
        return [claim for claim, _, _ in steps if claim in lost]

    def next_token(self, worker: int) -> int:
        """That of the worker's next claim."""
        return worker * TURNS + next(self._turns)

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
            self._outcomes.write_counts()
        return enough

    def started(self, token: int, ids: Iterable[tuple[int, float]]) -> None:
        """Remember that these of the claim's declarations are running, and since when.

        What the claim does not hold (any more) changes nothing.
        """
        held = self._held(token)
        rows = [(id, token, started_at) for id, started_at in ids if id in held]
        self._database.executemany(
            "INSERT OR REPLACE INTO running (declaration, token, started_at) VALUES (?, ?, ?)", rows
        )
        self._expiry.started(id for id, _, _ in rows)

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
        if not held:
            self._hooks.settle(token, settlements)
        valid = [one for one in settlements if held.pop(one[0], False) is None]
        self._outcomes.complete([one for one in valid if type(one[2]) is Completed], now)
        worker = token // TURNS
        cancelled = self._cancellations.of_claim(token)
        self._endings.asked_for(cancelled)
        failed = []
        others = [one for one in valid if type(one[2]) is not Completed]
        for id, lane, verdict in others:
            if isinstance(verdict, Failed):
                if id in cancelled:
                    verdict.advice = Advice.NEVER
                failed.append(self._outcomes.fail(id, lane, verdict, worker, now, chance()))
            elif id in cancelled:
                failed.append(self._outcomes.cancel(id, lane, cancelled[id], worker, now))
            elif isinstance(verdict, HooksEnded):  # no realizer of ours says so of a job that runs
                self._outcomes.release(id, lane, worker, now, counted=True)
            elif isinstance(verdict, Released):
                counted, refusal = verdict.counted, verdict.refusal
                self._outcomes.release(id, lane, worker, now, counted=counted, refusal=refusal)
            elif isinstance(verdict, Parked):
                self._outcomes.park(id, lane, verdict, now)
            elif isinstance(verdict, Postponed):
                failure = self._outcomes.postpone(id, lane, verdict, worker, now)
                failed += [failure] if failure else []
        self._cancellations.forget(cancelled.keys() - held)
        self._keep(token, held)
        self._outcomes.write_counts()
        self._endings.write(now)
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

    def recover(self, worker: int, ended: Mapping[tuple[int, int], Ended], now: float) -> Recovered:
        """Settle what a dead worker had ended, by token and id, and put back the rest."""
        settled: defaultdict[int, list[Settlement]] = defaultdict(list)
        names = {}
        for token, id, lane, name in self.held_by(worker) if ended else ():
            names[lane] = name
            if (token, id) in ended:
                settled[token].append((id, lane, ended[token, id]))
        failed = [self.settle(token, some, now, self.chance) for token, some in settled.items()]
        all_settled = [*itertools.chain(*settled.values())]
        returned = self.put_back(worker, now)
        self.notices.worker_down(worker, returned, now)
        unbegun = self._take_unbegun()
        names |= {lane: self._name(lane) for _, lane, *_ in unbegun}
        told = [*itertools.chain(*failed), *unbegun]
        return Recovered(worker, all_settled, told, names, returned, None)

    def put_back(self, worker: int, now: float) -> int:
        """Put back what a dead worker holds; returns how many declarations that were."""
        tokens = self._database.execute(
            "SELECT token FROM claim WHERE token >= ? AND token < ?",
            (worker * TURNS, (worker + 1) * TURNS),
        ).fetchall()
        count = 0
        for (token,) in tokens:
            held = self._held(token)
            query = "SELECT declaration, started_at FROM running WHERE token = ?"
            running = dict(self._database.execute(query, (token,)).fetchall())
            cancelled = self._cancellations.of_claim(token)
            self._endings.asked_for(cancelled)
            for id in held:
                query = "SELECT lane FROM declaration WHERE id = ?"
                [lane] = self._database.execute(query, (id,)).fetchone()
                if id in cancelled:
                    self._outcomes.cancel(id, lane, cancelled[id], worker, now)
                elif id in running:
                    self._outcomes.crash(id, lane, worker, running[id], now)
                else:
                    self._outcomes.release(id, lane, worker, now, counted=True)
            self._cancellations.forget(cancelled)
            self._keep(token, {})
            count += len(held.keys() - cancelled)
        self._hooks.put_back(worker)
        self._outcomes.write_counts()
        self._endings.write(now)
        return count

    def _ready(self, token: int, rank: Sequence[Waiting], now: float) -> Iterator[Claimed]:
        rows = [self._database.execute(READY, (token, lane.id, now)) for lane in rank]
        merged = heapq.merge(*rows, key=itemgetter(1, 2)) if len(rows) > 1 else rows[0]
        return map(Claimed._make, merged)

    def _unqueue(self, lane: int, last: Claimed) -> None:
        """Take a lane's declarations up to and including the last out of the queue."""
        drop = "DELETE FROM pending WHERE lane = ? AND (due_at, declaration) <= (?, ?)"
        count = self._database.execute(drop, (lane, last.due_at, last.id)).rowcount
        self._outcomes.move(lane, Status.PENDING, Status.PROCESSING, count)

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
        for table in ("running", "suspension"):
            gone = f"""
                DELETE FROM {table} WHERE token = ?
                AND declaration NOT IN (SELECT value FROM json_each(?))"""
            self._database.execute(gone, (token, ids))


def earliest(*moments: float | None) -> float | None:
    """The first of these moments, as far as there are any."""
    return min((moment for moment in moments if moment is not None), default=None)
