"""What a worker keeps an eye on beside its jobs: the file, other workers, newer programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.events import FileUnwatched
from prokerja.repository.sqlite.watch import Watch
from prokerja.worker.duties.recovery import Recovery
from prokerja.worker.duties.upgrade import UpgradeCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.errors import Outdated
    from prokerja.events import Event
    from prokerja.repository.sqlite.repository import Repository
    from prokerja.worker.duties.signals import StopRequests


class Lookout:
    """Hears of every write to the file, and sees to what may follow; times are monotonic."""

    def __init__(
        self, repository: Repository, own: int, stops: StopRequests, tell: Callable[[Event], None]
    ) -> None:
        self.watch = Watch(repository.path)
        self.woken = True
        """Whether anybody may have written since we last looked for work."""
        self._tell = tell
        self._shortage = ""
        """What was told of the watch."""
        self._neighbours = Recovery(repository, own, self.watch, tell)
        self._upgrades = UpgradeCheck(repository.database, stops)
        self._on_commit = repository.database.on_commit
        self._on_commit.append(self.watch.poke)

    @property
    def deaf(self) -> bool:
        """Whether to hear of another write would tell us nothing new."""
        return self.woken and self._neighbours.look_at is not None

    def hear(self, now: float) -> None:
        """Somebody has written, or is about to."""
        if self.watch.drain():
            self._neighbours.suspect = True
        self.woken = True
        self._neighbours.stir(now)
        self._upgrades.stir(now)

    def wrote(self, now: float, *, full: bool) -> None:
        """We have written ourselves, under the lock, and looked for work unless we are `full`."""
        self.woken = full  # whoever has no room will look anyway, as soon as there is some
        self._upgrades.seen(now)

    def look(self, now: float, *, full: bool) -> None:
        """Recover what dead workers held; raise Outdated if a newer program has come."""
        if self._upgrades.met:
            return
        self._neighbours.look(now)
        if self.watch.shortage != self._shortage:
            self._shortage = self.watch.shortage
            if self._shortage:
                self._tell(FileUnwatched(self._shortage))
        if full:
            self._upgrades.look(now)

    def heed(self, error: Outdated) -> None:
        """A newer program has come: stop in good order."""
        self._upgrades.heed(error)

    def next_look(self) -> float | None:
        """When to look again by itself; None if nothing stirs."""
        if self._upgrades.met:
            return None
        moments = (self._neighbours.look_at, self._upgrades.at)
        return min((moment for moment in moments if moment is not None), default=None)

    def close(self) -> None:
        """See and hear no more."""
        self._on_commit.remove(self.watch.poke)
        self.watch.close()
