"""Puts back what dead workers held, the moment their locks are let go."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from prokerja import shortage
from prokerja.events import JobsRecovered, LockLeft, StoreTroubled
from prokerja.worker.pool.exits import from_journal
from prokerja.worker.totals import Totals
from prokerja.worker.wire import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.events import Event
    from prokerja.model import FailedAttempt
    from prokerja.repository.sqlite.repository import Repository
    from prokerja.repository.sqlite.watch import Watch
    from prokerja.verdicts import Ended, Settlement
    from prokerja.worker.wire.journal import Claim

CHECK_SECONDS = 0.2
"""Between two looks at who is there, unless one of them may have died."""
RETRY_SECONDS = 1.0
"""Before another look where the last one failed, for want of a descriptor."""


class Recovered(NamedTuple):
    """What a dead worker has left."""

    worker: int
    settled: list[Settlement]
    failed: list[FailedAttempt]
    names: dict[int, str]
    """Job names by lane."""
    returned: int
    """How many declarations were put back."""


class Recovery:
    """Notices other workers when they come, and recovers what they held when they die."""

    def __init__(
        self, repository: Repository, own: int, watch: Watch, tell: Callable[[Event], None]
    ) -> None:
        self._repository = repository
        self._own = own
        self._watch = watch
        self._tell = tell
        self._known: set[int] = set()
        self._checked_at = 0.0
        self._check_at: float | None = None
        """When to look who is there; None while nothing is written."""
        self._stopped = False
        self.suspected = True
        """Whether one of them may have died since the last look."""

    @property
    def due(self) -> float | None:
        """At once if one may have died; a moment after a write if a new one may have come."""
        if self._stopped:
            return None
        if self.suspected:
            return 0.0 if self._watch.pace is None else self._checked_at + CHECK_SECONDS
        return self._check_at

    @property
    def is_stirred(self) -> bool:
        """Whether to hear of another write would change nothing."""
        return self._stopped or self._check_at is not None

    def on_write(self, now: float) -> None:
        """Something was written, perhaps a new worker's name."""
        self._check_at = self._check_at or max(now, self._checked_at + CHECK_SECONDS)

    def stop(self) -> None:
        """Recover nothing more: the file is not ours to write any longer."""
        self._stopped = True

    def run(self, now: float) -> None:
        """Recover what the dead held, if somebody died."""
        with self._repository.database.reading():
            others = set(self._repository.workers.ids()) - {self._own}
        try:
            if others != self._known or self.suspected:
                self._check(others)
        except OSError as error:
            self._put_off(now, error)
        else:
            self._checked_at, self._check_at = now, None

    def _put_off(self, now: float, error: OSError) -> None:
        """Look again later; the jobs of this worker go on meanwhile."""
        self._known, self.suspected = set(), False
        self._checked_at, self._check_at = now, now + RETRY_SECONDS
        why = shortage.in_words(error) or str(error)
        self._tell(StoreTroubled(f"cannot see which other workers are alive: {why}"))

    def _check(self, others: set[int]) -> None:
        workers = self._repository.workers
        self._watch.locks(map(workers.lock_path, others))
        dead = [id for id in others if not workers.alive(id)]
        if dead:
            self._recover(dead)
        # Of a lock that is closed to us nobody tells: we look again each time.
        self._known = {id for id in others.difference(dead) if workers.is_open(id)}
        self.suspected = False

    def _recover(self, dead: list[int]) -> None:
        workers = self._repository.workers
        ended = {id: journal.read_all(workers.lock_path(id), workers.realizers(id)) for id in dead}
        with self._repository.database.writing():
            now = time.time()
            recovered = [self._recover_one(id, ended[id], now) for id in dead]
            workers.forget(dead)
        for error in workers.clear(dead):
            self._tell(LockLeft(error.filename, error.strerror or str(error)))
        for one in recovered:
            self._tell(JobsRecovered(one.worker, len(one.settled), one.returned))
            Totals(one.names, self._tell).record(one.settled, one.failed, now)

    def _recover_one(self, worker: int, ended: Mapping[Claim, Ended], now: float) -> Recovered:
        """Settle what a dead worker's realizers have written down, and put back the rest."""
        claims = self._repository.claims
        settled: defaultdict[int, list[Settlement]] = defaultdict(list)
        names = {}
        for token, id, lane, name in claims.held_by(worker) if ended else ():
            names[lane] = name
            verdict = from_journal(ended.get((token, id)))
            if verdict is not None:
                settled[token].append((id, lane, verdict))
        failed = [claims.settle(token, settled[token], now, random.random) for token in settled]
        returned = claims.recover(worker, now)
        return Recovered(worker, [*chain(*settled.values())], [*chain(*failed)], names, returned)
