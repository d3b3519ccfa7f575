"""The other workers on the file: noticed when they come, and relieved when they die."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from prokerja import shortage
from prokerja.events import JobsRecovered, LockLeft, StoreTroubled
from prokerja.worker.pool.exits import by_note
from prokerja.worker.totals import Totals
from prokerja.worker.wire import journal as notes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.events import Event
    from prokerja.model import Fate, Verdict
    from prokerja.repository.sqlite.repository import Repository
    from prokerja.repository.sqlite.watch import Watch
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Done, Failure

EVERY = 0.2
"""Seconds between two looks at who is there, unless one of them may have died."""
RETRY_SECONDS = 1.0
"""Before another look where the last one failed, for want of a descriptor."""


class Recovered(NamedTuple):
    """What a dead worker has left."""

    worker: int
    verdicts: list[Verdict]
    fates: list[Fate]
    names: dict[int, str]
    """Job names by lane."""
    returned: int
    """How many declarations were put back."""


class Recovery:
    """Puts back what dead workers held, the moment their locks are let go."""

    def __init__(
        self, repository: Repository, own: int, watch: Watch, tell: Callable[[Event], None]
    ) -> None:
        self._repository = repository
        self._own = own
        self._watch = watch
        self._tell = tell
        self._known: set[int] = set()
        self._looked_at = 0.0
        self.suspect = True
        """Whether one of them may have died since the last look."""
        self.look_at: float | None = None
        """When to look who is there, in monotonic seconds; None while nothing is written."""

    def stir(self, now: float) -> None:
        """Something was written, perhaps a new worker's name."""
        self.look_at = self.look_at or max(now, self._looked_at + EVERY)

    def look(self, now: float) -> None:
        """Recover what the dead held, if there is reason to think that somebody died."""
        told = self.suspect and (self._watch.pace is None or now >= self._looked_at + EVERY)
        if not told and (self.look_at is None or now < self.look_at):
            return
        with self._repository.database.reading():
            others = set(self._repository.workers.ids()) - {self._own}
        try:
            if others != self._known or self.suspect:
                self._check(others)
        except OSError as error:
            self._put_off(now, error)
        else:
            self._looked_at, self.look_at = now, None

    def _put_off(self, now: float, error: OSError) -> None:
        """Look again later; the jobs of this worker go on meanwhile."""
        self._known, self.suspect = set(), False
        self._looked_at, self.look_at = now, now + RETRY_SECONDS
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
        self.suspect = False

    def _recover(self, dead: list[int]) -> None:
        workers = self._repository.workers
        noted = {id: notes.read_all(workers.lock_path(id), workers.realizers(id)) for id in dead}
        with self._repository.database.writing():
            now = time.time()
            estates = [self._wind_up(id, noted[id], now) for id in dead]
            workers.forget(dead)
        for error in workers.clear(dead):
            self._tell(LockLeft(error.filename, error.strerror or str(error)))
        for estate in estates:
            ended = len(estate.verdicts)
            self._tell(JobsRecovered(estate.worker, ended, estate.returned))
            Totals(estate.names, self._tell).bring_in(estate.verdicts, estate.fates, now)

    def _wind_up(self, worker: int, noted: Mapping[Claim, Done | Failure], now: float) -> Recovered:
        """Settle what a dead worker's realizers have noted, and put back the rest."""
        claims = self._repository.claims
        verdicts: defaultdict[int, list[Verdict]] = defaultdict(list)
        names = {}
        for token, id, lane, name in claims.held_by(worker) if noted else ():
            names[lane] = name
            ended = noted.get((token, id))
            verdict = ended and by_note((id, lane), ended)
            if verdict:
                verdicts[token].append(verdict)
        fates = [claims.settle(token, verdicts[token], now, random.random) for token in verdicts]
        returned = claims.recover(worker, now)
        return Recovered(worker, [*chain(*verdicts.values())], [*chain(*fates)], names, returned)
