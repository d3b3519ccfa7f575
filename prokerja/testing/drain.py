"""Does what a supervisor and its realizer do, one attempt after the other, in this process."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from prokerja import running
from prokerja.hooks import ENDING, hooks_of
from prokerja.job import FOLLOW_UPS
from prokerja.model.claim import Reported
from prokerja.model.progress import Progress
from prokerja.repository.verbs import Want
from prokerja.steering import Await, Later
from prokerja.testing.drained import Drained
from prokerja.testing.realizer import InProcessRealizer
from prokerja.verdicts import HooksEnded, Refusal, Released
from prokerja.worker.realizer import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model.claim import Claimed, Extra
    from prokerja.model.declaration import Declaration
    from prokerja.model.worker import Taking
    from prokerja.repository.verbs import Repository, Turn
    from prokerja.testing.known import KnownJobs
    from prokerja.verdicts import Verdict
    from prokerja.worker.wire.messages import Report


class Drain:
    """One worker's life, from its first claim until nothing is due any more."""

    def __init__(
        self,
        repository: Repository,
        known: KnownJobs,
        clock: Callable[[], float],
        directory: str,
        taking: Taking,
    ) -> None:
        self._repository = repository
        self._known = known
        self._clock = clock
        self._directory = directory
        self._taking = taking
        self._hooked = frozenset[str]()
        self._changes = -1
        self._drained = Drained()
        self._claimed: Claimed | None = None
        """What is to be run, until it is settled."""
        self._verdict: Verdict | None = None
        """What came of it."""
        self._name = ""
        self._reported: list[Report] = []
        """What is yet to be written down of what was told."""

    def run(self, *, raise_errors: bool, most: int) -> Drained:
        """See `InProcessQueue.drain`."""
        before = running.current
        self._membership = self._repository.join(os.getpid(), self._clock(), 1, self._taking)
        try:
            for count in itertools.count():
                turn = self._turn(self._want())
                if self._claimed is None:
                    return self._drained
                if count == most:
                    raise RuntimeError(_endless(most, turn.names[self._claimed.lane]))
                self._attempt(self._claimed, turn)
                error = self._realizer.error
                if error is not None and _is_raised(error, raise_errors=raise_errors):
                    error.add_note(f"in job {self._claimed.id} {self._name}")
                    raise error
            raise AssertionError  # itertools.count() has no end
        finally:
            running.current = before
            self._leave()

    def _want(self) -> Want:
        if self._changes != self._known.changes:
            self._learn()
        return Want(self._taking, self._assign, self._assign, self._hooked)

    def _learn(self) -> None:
        """Load the classes, as there are new ones."""
        self._changes = self._known.changes
        loaded = self._known.load()
        hooks = {name: hooks_of(cls) for name, cls in loaded.classes.items()}
        told = [name for name, names in hooks.items() if names.intersection(ENDING)]
        self._hooked = frozenset(name for name, names in hooks.items() if names)
        self._taking = self._taking._replace(names=set(loaded.classes))
        self._repository.learn(self._membership.worker, sorted(loaded.classes), sorted(told))
        self._realizer = InProcessRealizer(loaded, self._take, self._follow_ups)

    def _assign(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """One at a time: what it declares may go before the others."""
        if self._claimed is None:
            self._claimed = next(offered, None)
            return ([] if self._claimed is None else [self._claimed]), self._claimed is not None
        return [], True

    def _turn(self, want: Want | None) -> Turn:
        """Settle the last attempt, and claim the next if there is one."""
        ended, verdict, self._claimed, self._verdict = self._claimed, self._verdict, None, None
        settlements = {}
        if ended is not None and verdict is not None:
            settlements = {ended.token: [(ended.id, ended.lane, verdict)]}
        reported, self._reported = self._written(ended), []
        turn = self._repository.turn(
            self._membership.worker, settlements, [], want, self._clock(), reported=reported
        )
        own = None
        for failed in turn.failed:
            if ended is not None and failed.id == ended.id:
                own = failed
            else:
                self._drained.note_failed(failed, self._repository.read(failed.id).lane.name)
        if ended is not None and verdict is not None:
            self._drained.note(ended, self._name, verdict, own)
        return turn

    def _attempt(self, job: Claimed, turn: Turn) -> None:
        self._name = turn.names[job.lane]
        extra = turn.extras.get((job.token, job.id))
        began = self._clock()
        self._realizer.attempt(job, self._name, extra)
        self._verdict = self._verdict_of(extra, began, self._clock())

    def _take(self, report: Report) -> None:
        """The realizer reports; a step is waited for, all else can wait."""
        if report.steps:
            assert self._claimed is not None
            claim = self._claimed.token, self._claimed.id
            steps = [(claim, name, result) for _, name, result in report.steps]
            worker, now = self._membership.worker, self._clock()
            self._repository.turn(worker, {}, [], None, now, reported=Reported(steps))
            self._realizer.confirm_step()
        self._reported.append(report)

    def _follow_ups(self, job: Any) -> tuple[Declaration, ...]:
        declarations = outcome.follow_ups(self._directory, self._clock, job)
        for other, _ in getattr(job, FOLLOW_UPS, ()):
            self._known.note(other)
        return declarations

    def _verdict_of(self, extra: Extra | None, began: float, now: float) -> Verdict:
        refusals = [refusal for report in self._reported for _, refusal in report.unfit]
        is_told_only = extra is not None and extra.hooks is not None and extra.hooks.ended
        for report in self._reported:
            for _, ended in report.ended:
                ended.started_at, ended.finished_at = began, now
                return ended
        if is_told_only:
            return HooksEnded(began, now, have_run=False)
        [refusal] = refusals or [Refusal(f"has no {self._name}", "")]
        return Released(counted=False, refusal=refusal)

    def _written(self, job: Claimed | None) -> Reported | None:
        """What the attempt has told of itself, as the store takes it."""
        if job is None:
            return None
        claim, now = (job.token, job.id), self._clock()
        told = [
            (claim, Progress(job.attempt, *one, now))
            for r in self._reported
            for _, one in r.progress
        ]
        texts = [(claim, text) for report in self._reported for _, text in report.descriptions]
        for report in self._reported:
            for id, name, hook, error in report.hook_errors:
                self._drained.hook_errors.append(f"job {id} {name}: {hook}: {error}")
        return Reported((), told, texts) if told or texts else None

    def _leave(self) -> None:
        """Settle what is left; what was claimed and has not been run goes back."""
        if self._claimed is not None and self._verdict is None:
            self._verdict = Released(counted=False)
        self._turn(None)
        self._repository.leave(self._membership)


def _is_raised(error: BaseException, *, raise_errors: bool) -> bool:
    """Whether it goes on to whoever drains; what ends the tests themselves does in any case."""
    from asyncio import CancelledError

    if isinstance(error, (Exception, SystemExit, GeneratorExit, CancelledError)):
        return raise_errors and not isinstance(error, (Later, Await))
    return True


def _endless(most: int, name: str) -> str:
    return (
        f"drain() has made {most:,} attempts, and a {name} is due; if that is not without end, give"
        " more as `most`"
    )
