"""The other workers on the file: noticed when they come, and relieved when they die."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.events import JobsRecovered

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.events import Event
    from prokerja.repository import Repository
    from prokerja.watch import Watch

EVERY = 0.2
"""Seconds between two looks at who is there, unless one of them may have died."""


class Neighbours:
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
        if not self.suspect and (self.look_at is None or now < self.look_at):
            return
        with self._repository.database.reading():
            others = set(self._repository.workers.ids()) - {self._own}
        if others != self._known or self.suspect:
            self._check(others)
        self._looked_at, self.look_at = now, None

    def _check(self, others: set[int]) -> None:
        workers = self._repository.workers
        self._watch.locks(map(workers.lock_path, others))
        dead = [id for id in others if not workers.alive(id)]
        if dead:
            self._recover(dead)
        self._known = others.difference(dead)
        self.suspect = False

    def _recover(self, dead: list[int]) -> None:
        workers = self._repository.workers
        with self._repository.database.writing():
            now = time.time()
            counts = [(id, self._repository.claims.recover(id, now)) for id in dead]
            workers.forget(dead)
        workers.clear(dead)
        for worker, count in counts:
            self._tell(JobsRecovered(worker, count))
