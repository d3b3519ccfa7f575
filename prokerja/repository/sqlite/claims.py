"""Claims: a worker's right to attempt what it has taken, and what came of it.

One claim covers all that one turn of a worker took. Every verb here stands inside the worker's
write transaction, so that a turn costs one commit however many jobs it settles and takes.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from msgspec.json import decode, encode

from prokerja.model.claim import Claimed, Extra, FailedAttempt
from prokerja.repository.sqlite.awaiting import Awaiting
from prokerja.repository.sqlite.blocks import Blocks
from prokerja.repository.sqlite.cancellations import Cancellations
from prokerja.repository.sqlite.claiming import Claiming
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.costs import Costs
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.expiry import Expiry
from prokerja.repository.sqlite.extras import Extras
from prokerja.repository.sqlite.hooks import Hooks
from prokerja.repository.sqlite.notices import Notices
from prokerja.repository.sqlite.outcomes import Outcomes
from prokerja.repository.sqlite.progress import write_progress
from prokerja.repository.sqlite.starts import OpenStarts
from prokerja.repository.sqlite.steps import Steps
from prokerja.repository.verbs import Recovered, Turn
from prokerja.verdicts import Advice, Completed, Failed, HooksEnded, Parked, Postponed, Released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prokerja.model.claim import Reported
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.lanes import Lanes
    from prokerja.repository.verbs import Want
    from prokerja.verdicts import Ended, Settlement


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
        self.claiming = Claiming(database, lanes, self._outcomes)
        self._cancellations = Cancellations(database, lanes)
        self._hooks = Hooks(database)
        self._expiry = Expiry(database, self._endings)
        self.extras = Extras(database, Blocks(database, self._endings), self._awaiting, self._hooks)
        self._steps = Steps(database)
        self._costs = Costs(database)
        self.notices = Notices(database, lanes, declarations)
        self._open_starts = OpenStarts(database)
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
        is_throttled = False
        with self._database.writing(draining=leaving):
            if reported is not None:
                lost = self.report(reported, now)
                for one in reported.outgrown:
                    self._database.log.add("memory_exceeded", now, (worker, *one))
            for token, some in settlements.items():
                failed += self.settle(token, some, now, self.chance)
            for job, since in started:
                self.started(job.token, [(job.id, since)], now)
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
                told, told_names = self._hooks.claim(self.next_token(worker), want, now)
                token = self.next_token(worker)
                lanes, next_due, is_throttled = self.claiming.claim(token, want, now)
                names |= told_names | {waiting.id: waiting.lane.name for waiting in lanes}
                hooked = [one.id for one in lanes if one.lane.name in want.hooked]
                extras = {
                    **told,
                    **self.extras.of(token, self._held(token), hooked, with_traces=want.traced),
                }
        return Turn(failed, names, next_due, deadline, extras, lost, is_throttled)

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
        steps, progress, descriptions, costs, _ = reported
        claims = {claim for claim, _, _ in steps}
        claims |= {claim for claim, _ in (*progress, *descriptions, *costs)}
        held = {token: self._held(token) for token in {token for token, _ in claims}}
        lost = {(token, id) for token, id in claims if id not in held[token]}
        done = [(claim[1], name, result) for claim, name, result in steps if claim not in lost]
        self._steps.keep(done, now)
        latest = [(claim[1], one) for claim, one in progress if claim not in lost]
        write_progress(self._database, latest)
        self._database.log.progressed(latest, now)
        self._hooks.describe([(claim[1], one) for claim, one in descriptions if claim not in lost])
        self._costs.keep((claim[1], one) for claim, one in costs if claim not in lost)
        return [claim for claim, _, _ in steps if claim in lost]

    def next_token(self, worker: int) -> int:
        """That of the worker's next claim."""
        return worker * TURNS + next(self._turns)

    def started(self, token: int, ids: Iterable[tuple[int, float]], now: float) -> None:
        """Remember that these of the claim's declarations are running, and since when.

        What the claim does not hold (any more) changes nothing.
        """
        held = self._held(token)
        rows = [(id, token, started_at) for id, started_at in ids if id in held]
        self._database.log.started(token, rows, now)
        self._database.executemany(
            "INSERT OR REPLACE INTO running (declaration, token, started_at) VALUES (?, ?, ?)", rows
        )
        self._expiry.started(id for id, _, _ in rows)
        self._open_starts.began(token, {id: started_at for id, _, started_at in rows})

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
        self._note_starts(token, valid, now)
        self._outcomes.complete(token, [one for one in valid if type(one[2]) is Completed], now)
        worker = token // TURNS
        cancelled = self._cancellations.of_claim(token)
        self._endings.asked_for(cancelled)
        failed = []
        others = [one for one in valid if type(one[2]) is not Completed]
        for id, lane, verdict in others:
            if isinstance(verdict, Failed):
                if id in cancelled:
                    verdict.advice = Advice.NEVER
                kind = "cancelled" if id in cancelled else "failed"
                failed.append(self._outcomes.fail(id, lane, verdict, worker, now, chance(), kind))
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

    def _note_starts(self, token: int, settlements: Sequence[Settlement], now: float) -> None:
        """When those began that were claimed under a rate: now at the latest, of what may have."""
        rated = self._open_starts.of_claim(token)
        if not rated:
            return
        began = {}
        for id, _, verdict in settlements:
            if isinstance(verdict, Released):
                if verdict.counted:
                    began[id] = now
            else:
                began[id] = verdict.started_at
        self._open_starts.began(token, began)
        self._open_starts.never_began(token, (id for id, _, _ in settlements if id not in began))

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
            self._open_starts.began(token, dict.fromkeys(held, now) | running)
            for id in held:
                query = "SELECT lane FROM declaration WHERE id = ?"
                [lane] = self._database.execute(query, (id,)).fetchone()
                if id in cancelled:
                    self._outcomes.cancel(id, lane, cancelled[id], worker, now)
                elif id in running:
                    self._outcomes.crash(id, lane, worker, running[id], now)
                else:
                    self._outcomes.release(id, lane, worker, now, counted=True, dead=True)
            self._cancellations.forget(cancelled)
            self._keep(token, {})
            count += len(held.keys() - cancelled)
        self._hooks.put_back(worker)
        self._outcomes.write_counts()
        self._endings.write(now)
        return count

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
        for table in ("running", "suspension", "slot"):
            gone = f"""
                DELETE FROM {table} WHERE token = ?
                AND declaration NOT IN (SELECT value FROM json_each(?))"""
            self._database.execute(gone, (token, ids))


def earliest(*moments: float | None) -> float | None:
    """The first of these moments, as far as there are any."""
    return min((moment for moment in moments if moment is not None), default=None)
