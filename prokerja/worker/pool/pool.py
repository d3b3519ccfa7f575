"""The realizers of one worker: kept at strength, watched, and listened to."""

from __future__ import annotations

import time
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING

from prokerja.events import JobStarted, RealizerDied, RealizerReplaced
from prokerja.model import Claimed, Completed, Failed, Returned, Verdict
from prokerja.worker.pool.durations import PER_BYTE, Durations
from prokerja.worker.pool.exits import (
    Death,
    by_note,
    died,
    failed,
    follow_ups,
    in_words,
    overdue,
    too_long,
)
from prokerja.worker.pool.starter import Starter
from prokerja.worker.wire.messages import Report, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.events import Event
    from prokerja.worker.pool.process import RealizerProcess

KILL_AFTER_TERM_SECONDS = 5.0
"""Between asking a job and all it has started to end, and killing them."""
SILENT = "it said nothing for too long, and was killed"

STOPPED = "it was ended with its worker; its job goes back"


class Pool:
    """Hands jobs to realizers and gathers what comes of them.

    `hire` starts a realizer, given the ring for its notes; `release` hears of its end; `tell`
    takes events; `grace` is how long one may take to leave, in seconds. Verdicts gather in
    `verdicts`, by token, until the supervisor has written them down; jobs seen to be long in
    `started`, likewise.
    """

    def __init__(
        self,
        size: int,
        hire: Callable[[int], RealizerProcess],
        release: Callable[[RealizerProcess], None],
        tell: Callable[[Event], None],
        grace: float,
    ) -> None:
        self._size = size
        self._grace = grace
        self._release = release
        self._tell = tell
        self._pace = Durations()
        self._hiring = Starter(hire, tell)
        self._full = False
        """Whether the next job in the queue was found to be too much for any realizer."""
        self.hands: list[RealizerProcess] = []
        self.names: dict[int, str] = {}
        """Job names by lane, as far as they were met."""
        self.verdicts: defaultdict[int, list[Verdict]] = defaultdict(list)
        self.started: list[tuple[Claimed, float]] = []
        """Long jobs and when they began, in seconds since the epoch."""
        self.loose: list[Claimed] = []
        """Claimed, but in no realizer's hands just now."""
        self.greetings: list[Report] = []
        """What realizers said when their jobs were loaded."""
        self.greeted = False
        self.missing: set[str] = set()
        """Jobs that a realizer turned out not to have."""
        self.stopping = False
        self._spoilers: set[str] = set()
        """Jobs of which it was said that they change their process for good."""

    @property
    def busy(self) -> bool:
        """Whether anything claimed has not come back yet."""
        return bool(self.loose) or any(hand.tasks for hand in self.hands)

    @property
    def has_room(self) -> bool:
        """Whether there is a realizer that could take another job."""
        return not (self.stopping or self._full) and any(hand.fits() for hand in self.hands)

    def muster(self, now: float) -> None:
        """Start realizers until the crew is complete."""
        while not self.stopping and now >= self._hiring.at and (free := self._free_rings()):
            hand = self._hiring.hire(min(free))
            self.hands += [hand] if hand else []

    def choose(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """Put jobs into the realizers' next batches; returns them, and whether all are full."""
        fitting = [hand for hand in self.hands if hand.fits()]
        cost, least = self._pace.costs(), attrgetter("load")
        taken: list[Claimed] = []
        self._full = not fitting
        for claimed in offered if fitting else ():
            hand = min(fitting, key=least) if len(fitting) > 1 else fitting[0]
            if not hand.put(claimed, cost[claimed.lane] + len(claimed.payload) * PER_BYTE):
                self._full = True
                break
            taken.append(claimed)
        return taken, self._full

    def deal(self) -> None:
        """RealizerProcess over all that was placed, now that its claims are written down."""
        for hand in self.hands:
            hand.deal(self.names)

    def undo(self) -> None:
        """Forget all that was placed since its claims could not be written down."""
        for hand in self.hands:
            hand.undo()

    def settle_loose(self) -> None:
        """Find new hands for what was taken back, or give it back."""
        loose, self.loose = self.loose, []
        for job in loose:
            fitting = [] if self.stopping else [hand for hand in self.hands if hand.fits()]
            cost = self._pace.costs()[job.lane]
            if not any(hand.put(job, cost) for hand in fitting):
                self._settle(job, Returned(*job.ids, free=False))
        self.deal()  # their claims stand already

    def listen(self, hand: RealizerProcess) -> bool:
        """Take in what a realizer has to say; False when there is nothing, or never will be."""
        if hand not in self.hands:
            return False  # it was found dead a moment ago
        hand.channel.flush()
        try:
            reports = hand.channel.receive()
            for report in reports or ():
                self._take_in(hand, report)
        except WireError as error:
            hand.kill(f"it sent invalid data and was killed: {error}")
            reports = None
        if reports is None:
            self._bury(hand)
        return bool(reports)

    def ended(self, hand: RealizerProcess) -> None:
        """A realizer's process has ended: take in its last reports, settle the rest."""
        while hand in self.hands and self.listen(hand):
            pass
        if hand in self.hands:  # someone it has forked still holds the line
            self._bury(hand)

    def look(self, now: float) -> None:
        """Enforce limits, and let nothing wait behind a long job."""
        for hand in self.hands:
            if hand.look_at is not None and now >= hand.look_at:
                self._look(hand, now)

    def next_look(self) -> float | None:
        """When the first realizer wants to be looked at, in monotonic seconds."""
        looks = [hand.look_at for hand in self.hands if hand.look_at is not None]
        if self._free_rings() and not self.stopping:
            looks.append(self._hiring.at)
        return min(looks, default=None)

    def _free_rings(self) -> set[int]:
        """One for each realizer that is missing; who leaves has no job to note any more."""
        return set(range(self._size)) - {hand.ring for hand in self.hands if not hand.excused}

    def stop(self) -> None:
        """Start nothing more: what has not begun comes back, what runs may finish."""
        self.stopping = True
        for hand in self.hands:
            hand.revoke()
            hand.plan_look()
            if not hand.ready:
                hand.excused = True
                hand.kill()
            elif not hand.tasks:
                hand.dismiss(self._grace)

    def hurry(self) -> None:
        """The time is up: end what still runs."""
        for hand in self.hands:
            hand.excused, hand.why = True, STOPPED
            hand.hurry(KILL_AFTER_TERM_SECONDS)
            hand.plan_look()

    def kill(self) -> None:
        """End everything at once."""
        for hand in list(self.hands):
            hand.excused = True
            hand.kill(STOPPED)
            self._bury(hand)

    def _look(self, hand: RealizerProcess, now: float) -> None:
        long = hand.became_long()
        if long is not None:
            job, since = long
            self.started.append((job, time.time() - (now - since)))
            self._tell(JobStarted(job.id, self._name(job), job.attempt))
            hand.revoke()
        hand.nudge()
        self.loose += hand.withdraw()
        sequence, current, since = hand.at()
        limit = current.timeout if current else None
        if limit is not None and now - since >= limit and not hand.overdue:
            hand.overdue = sequence
            hand.hurry(KILL_AFTER_TERM_SECONDS)
        elif hand.kill_at is not None and now >= hand.kill_at:
            hand.kill()
        elif not hand.ready:
            hand.kill(f"importing took longer than {hand.loading_seconds:g} s")
            hand.look_at = hand.kill_at
        elif hand.silent(now):
            hand.kill(SILENT)
        hand.plan_look()

    def _take_in(self, hand: RealizerProcess, report: Report) -> None:
        self._full = False
        hand.silent_since = None
        if report.loading and not hand.ready:
            hand.loading = report.loading
            return
        if report.ready:
            self._welcome(hand, report)
        made = [follow_ups(done[4]) for done in report.completed]  # before anything is settled
        took: defaultdict[int, list[float]] = defaultdict(list)
        jobs = hand.done([done[0] for done in report.completed])
        for job, done, more in zip(jobs, report.completed, made, strict=True):
            if job is not None:
                sequence, began, ended, result, _ = done
                took[job.lane].append(ended - began)
                verdict = Completed(job.id, job.lane, began, ended, result, more)
                self._verdict(hand, sequence, job, verdict)
        jobs = hand.done([failure.sequence for failure in report.failed])
        for job, failure in zip(jobs, report.failed, strict=True):
            if job is not None:
                took[job.lane].append(failure.finished_at - failure.started_at)
                self._verdict(hand, failure.sequence, job, failed(job.ids, failure))
        for lane, durations in took.items():
            self._pace.learn(lane, sum(durations) / len(durations))
        if report.spoiled is not None:
            self._replace(hand, *report.spoiled)
        self._take_back(hand, report)
        hand.plan_look()

    def _replace(self, hand: RealizerProcess, name: str, what: str) -> None:
        """A job has changed its process for good; said once for each job name."""
        if hand.spoiled or not hand.last_begun():
            raise WireError("it has no job to be spoiled by")
        hand.spoiled = True
        if name not in self._spoilers:
            self._spoilers.add(name)
            self._tell(RealizerReplaced(hand.pid, name, what))

    def _welcome(self, hand: RealizerProcess, report: Report) -> None:
        if hand.ready:
            raise WireError("it has greeted before")
        self._hiring.succeeded()
        hand.ready = True
        hand.pid = report.pid or hand.pid
        self.greetings.append(report)

    def _take_back(self, hand: RealizerProcess, report: Report) -> None:
        """What a realizer has not begun."""
        if not hand.spoiled and any(map(hand.has_to_do, report.dropped)):
            raise WireError("it gives back jobs that nobody asked for")
        self.loose += filter(None, hand.done(report.dropped))
        for job in filter(None, hand.done(report.unknown)):
            self.missing.add(self._name(job))
            self._settle(job, Returned(*job.ids, free=False))
        if (self.stopping or hand.worn or hand.spoiled) and not hand.tasks:
            hand.dismiss(self._grace)

    def _verdict(
        self, hand: RealizerProcess, sequence: int, job: Claimed, verdict: Completed | Failed
    ) -> None:
        if sequence == hand.overdue:
            verdict = overdue(verdict, job)
            hand.kill()  # it broke its limit, and so may what it has started
        self.verdicts[job.token].append(verdict)

    def _settle(self, job: Claimed, verdict: Verdict) -> None:
        self.verdicts[job.token].append(verdict)

    def _bury(self, hand: RealizerProcess) -> None:
        """Settle what a dead realizer had in hand."""
        self._full = False
        at, _, began = hand.at()
        self.hands.remove(hand)
        self._release(hand)
        last = hand.last_begun()
        code = hand.bury()
        how = hand.why or in_words(code, ours=hand.killed)
        self._take_in_notes(hand)
        if not hand.ready:
            how = f"{hand.loading}: {how}" if hand.loading else how
            self._hiring.failed(how, first=not (self.greeted or self.stopping))
        if at in hand.tasks if hand.excused else not hand.overdue:
            self._tell(RealizerDied(hand.pid, how))
        if at == hand.overdue and at in hand.tasks:
            how = too_long(hand.tasks[at])
        elif at < 1 and last in hand.tasks:
            at, how = last, f"{how}, and did not tell what came of the job"
        ours = hand.excused or hand.overdue > 0
        death = Death(how, at, began, excused=ours and at != hand.overdue)
        for sequence, job in hand.tasks.items():
            verdict = died(job, sequence, death)
            if verdict is None:
                self.loose.append(job)
            else:
                self._settle(job, verdict)

    def _take_in_notes(self, hand: RealizerProcess) -> None:
        """Settle what a dead realizer had ended and not told."""
        noted = hand.noted()
        for sequence, job in list(hand.tasks.items()):
            ended = noted.get((job.token, job.id))
            verdict = ended and by_note(job.ids, ended)
            if verdict:
                del hand.tasks[sequence]
                self._verdict(hand, sequence, job, verdict)

    def _name(self, job: Claimed) -> str:
        return self.names.get(job.lane, "?")
