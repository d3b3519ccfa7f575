"""Looks, before jobs are taken, whether there is as much memory as they may need."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja import sizes
from prokerja.model.declaration import SHELL
from prokerja.worker import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model.claim import Claimed
    from prokerja.repository.verbs import Assign
    from prokerja.worker.holds import Holds
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.service import Service

KIND = "memory"
LOOK_SECONDS = 1.0
"""Between two looks while jobs are due that there is no memory for."""
LEARNED_SECONDS = 60.0
"""For which it is taken to be known what a job uses."""


class Preflight:
    """Has nothing to do while nothing is due, or while there is enough."""

    def __init__(
        self,
        service: Service,
        pool: Pool,
        holds: Holds,
        usual_peak: Callable[[str], int | None],
        look_again: Callable[[], object],
        free: Callable[[], int] = memory.free,
    ) -> None:
        """`usual_peak` tells what a job uses; `look_again` has the worker look for jobs."""
        self._floor = service.memory_free
        self._learns = service.memory_learn
        self._pool = pool
        self._holds = holds
        self._usual_peak = usual_peak
        self._look_again = look_again
        self._free = free
        self._avoided: set[str] = set()
        """Jobs that there is no memory for."""
        self._probing = False
        """Whether it is to be seen if such jobs are still there, and still too large."""
        self._learned: dict[str, tuple[float, int]] = {}
        """What jobs use by name, and until when that is known, in monotonic seconds."""
        self._unknown: set[str] = set()
        self._turn = Look(self, _take_none)

    due: float | None = None
    """When to look again, in monotonic seconds."""

    @property
    def avoided(self) -> set[str]:
        """The jobs that are not to be taken in the next turn."""
        return set() if self._probing else self._avoided

    @property
    def is_waiting(self) -> bool:
        """Whether jobs are due that there is no memory for, while others are taken."""
        return bool(self._avoided)

    def guard(self, assign: Assign) -> Assign:
        """The same, given only what there is memory for."""
        self._turn = Look(self, assign)
        return self._turn.assign

    def run(self, now: float) -> None:
        """Find out what is to be known, and have the worker look whether there is enough now."""
        self.due = None
        for name in self._unknown:
            self._learned[name] = now + LEARNED_SECONDS, self._usual_peak(name) or 0
        self._unknown.clear()
        if self._holds.holds(KIND):
            if self._free() < self._floor:
                self.due = now + LOOK_SECONDS
                return
            self._holds.lift(KIND)
        self._probing = bool(self._avoided)
        self._look_again()

    def ended(self, now: float) -> None:
        """A turn has gone well."""
        if self._probing and not self._turn.is_full:  # none of them are there any more
            for name in self._avoided:
                self._holds.lift(_kind(name))
            self._avoided.clear()
        if self._turn.is_blocked or not self._avoided:
            self._probing = False
        if self._avoided and not self._probing and self.due is None:
            self.due = now + LOOK_SECONDS

    def has_floor(self, free: int) -> bool:
        """Whether anything may be taken at all; if not, say so."""
        if free >= self._floor:
            return True
        found, floor = sizes.human(free), sizes.human(self._floor)
        why = f"{found} of memory are free, and it is to leave {floor} (--memory-free)"
        self._holds.hold(KIND, why, time.time())
        self.due = time.monotonic() + LOOK_SECONDS
        return False

    def left(self) -> tuple[int, int]:
        """Bytes that are free, and how many of them are for what runs already."""
        return self._free(), sum(map(self._reserved, self._pool.processes if self._learns else ()))

    def need(self, job: Claimed) -> int | None:
        """Bytes that a job uses; None if that is to be found out first."""
        if not self._learns:
            return 0
        name = self._pool.results.job_names.get(job.lane)
        if name == SHELL:  # each is another command
            return 0
        until, need = self._learned.get(name or "", (0.0, 0))
        if name is not None and until > time.monotonic():
            return need
        self._unknown.update({name} if name else ())
        self.due = 0.0
        return None

    def admit(self, job: Claimed) -> None:
        """There is memory for it."""
        name = self._pool.results.job_names.get(job.lane, "")
        if name in self._avoided:
            self._avoided.discard(name)
            self._holds.lift(_kind(name))

    def refuse(self, job: Claimed, need: int) -> None:
        """There is none: leave its like alone for a moment."""
        name = self._pool.results.job_names[job.lane]
        self._avoided.add(name)
        why = (
            f"it takes no {name} until {sizes.human(need)} of memory are free, which 95 in 100 of"
            " its last attempts have kept within"
        )
        self._holds.note(_kind(name), why, time.time())

    def _reserved(self, process: RealizerProcess) -> int:
        """What a realizer may yet take for the jobs that it has."""
        names = self._pool.results.job_names
        jobs = process.jobs.values()
        needs = [self._learned.get(names.get(job.lane, ""), (0.0, 0))[1] for job in jobs]
        most = max(needs, default=0)
        return max(most - memory.held(process.pid), 0) if most else 0


class Look:
    """One turn's."""

    def __init__(self, preflight: Preflight, assign: Assign) -> None:
        self._preflight = preflight
        self._assign = assign
        self._left: int | None = None
        """Bytes for what is still to come."""
        self.is_blocked = False
        """Whether something could not be taken."""
        self.is_full = False
        """Whether something may be left that was not looked at."""

    def assign(self, offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        """What is taken of this, from the front."""
        taken, is_full = self._assign(self._fitting(offered))
        self.is_full = is_full or self.is_blocked
        return taken, self.is_full

    def _fitting(self, offered: Iterator[Claimed]) -> Iterator[Claimed]:
        for job in offered:
            if not self._fits(job):
                self.is_blocked = True
                return
            yield job

    def _fits(self, job: Claimed) -> bool:
        preflight = self._preflight
        if self._left is None:
            free, reserved = preflight.left()
            if not preflight.has_floor(free):
                return False
            self._left = free - reserved
        need = preflight.need(job)
        if need is None:
            return False
        if need > self._left:
            preflight.refuse(job, need)
            return False
        self._left -= need
        preflight.admit(job)
        return True


def _kind(name: str) -> str:
    return f"{KIND}:{name}"


def _take_none(_: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
    return [], True
