"""What the realizers of a pool can run, where some have failed to load what others have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.spec import Broken
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.pool.renewal import Renewal
    from prokerja.worker.wire.messages import Loaded


class KnownCode:
    """Keeps jobs from realizers that lack them, for as long as there are others.

    That happens when a realizer is started while a job file is broken, which the others have
    loaded before. In one turn, either those are given jobs that have all, or those that lack some.
    """

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal
        self._accepted: Loaded | None = None
        self._only_lacking: bool | None = None
        """Which of them take jobs in this turn; None if none lacks any."""
        self._others_full = False

    def is_whole(self, process: RealizerProcess, loaded: Loaded) -> bool:
        """Whether a realizer has all that the others have, or there are no others."""
        others = [one for one in self._whole() if one is not process]
        if not self.lost(loaded) or self._accepted is None or not others:
            return True
        names = {spec.name for spec in self._accepted.specs}
        process.lacks = frozenset(names.difference(spec.name for spec in loaded.specs))
        return False

    def accept(self, loaded: Loaded) -> None:
        """That is what there is from now on."""
        self._accepted = loaded

    def lost(self, loaded: Loaded) -> list[Broken]:
        """The files that could be loaded before, and cannot be now."""
        if self._accepted is None:
            return []
        before = {*self._accepted.stamps, *self._accepted.files}
        before -= {one.file for one in self._accepted.broken}
        return [one for one in loaded.broken if one.file in before]

    def promote(self) -> Loaded | None:
        """If only those are left that lack something, what they have is all there is."""
        lacking = [one for one in self._renewal.seated if one.lacks]
        if not lacking or self._whole():
            return None
        for one in lacking:
            one.lacks = frozenset()
        return lacking[0].loaded

    def choose(self, processes: Sequence[RealizerProcess]) -> frozenset[str]:
        """Decide who takes jobs in this turn; returns the names of jobs that they lack."""
        if not any(one.lacks for one in processes):
            self._only_lacking = None
            return frozenset()
        has_whole = any(one.has_room() and not one.lacks for one in processes)
        self._only_lacking = self._others_full or not has_whole
        if not self._only_lacking:
            return frozenset()
        return frozenset().union(*(one.lacks for one in processes))

    def may_take(self, process: RealizerProcess) -> bool:
        """Whether a realizer takes jobs in this turn."""
        return self._only_lacking is None or bool(process.lacks) == self._only_lacking

    def pass_on(self) -> bool:
        """Those who take jobs are full; whether others may take some in the next turn."""
        self._others_full = self._only_lacking is False
        return self._others_full

    def look_again(self) -> None:
        """One of them has room again, perhaps."""
        self._others_full = False

    def _whole(self) -> list[RealizerProcess]:
        return [one for one in self._renewal.seated if not one.lacks]
