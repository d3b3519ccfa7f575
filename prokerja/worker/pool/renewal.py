"""Realizers with newer code, and the places of the older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.worker import SPARE_RINGS
from prokerja.worker.pool.ending import Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.pool.starter import Starter


class Renewal:
    """Which of a pool's realizers run jobs, as far as that depends on the code they have loaded.

    A candidate is one realizer more than there are places. It takes no jobs until it is accepted,
    and one of the places is free; so there never run more jobs at once than were asked for.
    """

    def __init__(
        self, size: int, processes: list[RealizerProcess], starter: Starter, grace: float
    ) -> None:
        """`processes` are the pool's realizers, as it keeps them; candidates are added."""
        self._size = size
        self._processes = processes
        self._starter = starter
        self._grace = grace
        self.candidate: RealizerProcess | None = None
        """It is loading, or waits to be judged."""
        self.death = ""
        """How the last candidate has ended, if it has by itself."""
        self.changed = False
        """Whether a realizer has told what it has loaded, or a candidate has died."""

    @property
    def seated(self) -> list[RealizerProcess]:
        """Those that run jobs, and may stay."""
        ready = (one for one in self._staying if one.ready)
        return [one for one in ready if not (one.spare or one.outdated or one.spoiled)]

    @property
    def free_places(self) -> int:
        """How many realizers are missing."""
        return self._size - sum(not one.spare for one in self._staying)

    @property
    def waiting(self) -> list[RealizerProcess]:
        """Those that are accepted, and have no place yet."""
        return [one for one in self._staying if one.spare and one is not self.candidate]

    def free_rings(self) -> list[int]:
        """Those for the journals of realizers that are missing, and of a candidate.

        One that leaves has nothing to write any more.
        """
        taken = {one.ring for one in self._staying}
        return [ring for ring in range(self._size + SPARE_RINGS) if ring not in taken]

    def take_places(self) -> None:
        """Have accepted realizers take the places that are free."""
        for one in self.waiting[: self.free_places]:
            one.spare = False

    def start(self) -> RealizerProcess | None:
        """A new candidate; None if the system has no room for it."""
        self.candidate = candidate = self._starter.start(self.free_rings()[0])
        if candidate is not None:
            candidate.spare = True
            self._processes.append(candidate)
        return candidate

    def drop(self) -> None:
        """The candidate is of no use."""
        candidate, self.candidate = self.candidate, None
        if candidate is None:
            return
        if candidate.ready:
            candidate.close(self._grace)
        else:
            candidate.end_for(Ending.CLOSED)
            candidate.kill()

    def retire(self, old: Iterable[RealizerProcess]) -> None:
        """Have these finish what they have, and leave."""
        for one in old:
            one.outdated = True
            if not one.jobs:
                one.close(self._grace)

    def take_files(self, process: RealizerProcess, files: Mapping[str, str]) -> None:
        """It has loaded these, too; their stamps by their paths."""
        if files and process.loaded is not None:
            process.loaded.files.update(files)
            self.changed = True

    def forget(self, process: RealizerProcess, how: str) -> None:
        """It is dead."""
        self.changed = True
        if process is self.candidate:
            self.candidate, self.death = None, how

    @property
    def _staying(self) -> list[RealizerProcess]:
        endings = ((one, one.ending) for one in self._processes)
        return [one for one, ending in endings if ending is None or not ending.is_orderly]
