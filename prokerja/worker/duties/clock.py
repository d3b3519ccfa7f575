"""Notices that the clock was set, by the one that nobody sets."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain
from prokerja.worker_events import ClockJumped

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository
    from prokerja.worker.turns import Turns
    from prokerja.worker_events import Event

JUMP_SECONDS = 5.0
"""By which the clock has to be off: less harms nobody."""
RETRY_SECONDS = 1.0
"""Before another try where the store was busy or full."""


class ClockCheck:
    """Looks whenever the worker is awake; after a jump, all due times are looked at anew."""

    def __init__(self, repository: Repository, turns: Turns, tell: Callable[[Event], None]) -> None:
        self._repository = repository
        self._turns = turns
        self._tell = tell
        self._ahead = _ahead()
        self._before: float | None = None
        """What the clock would show now if it had not been put back, until the store is told."""
        self._retry_at = 0.0
        self._stopped = False

    @property
    def due(self) -> float | None:
        """At once after a jump."""
        if self._stopped:
            return None
        if abs(_ahead() - self._ahead) >= JUMP_SECONDS:
            return 0.0
        return None if self._before is None else self._retry_at

    def stop(self) -> None:
        """Correct nothing more: the file is not ours to write any longer."""
        self._stopped = True

    def run(self, now: float) -> None:
        """Say so; if it was put back, what was due stays so."""
        ahead = _ahead()
        jump, self._ahead = ahead - self._ahead, ahead
        if abs(jump) >= JUMP_SECONDS:
            self._tell(ClockJumped(jump))
            self._turns.look_anew()
            if jump < 0:
                self._before = time.time() - jump
        if self._before is not None:
            self._correct(now, self._before)

    def _correct(self, now: float, before: float) -> None:
        self._retry_at = now + RETRY_SECONDS
        with suppress(TryAgain):
            if self._repository.clock_put_back(before, time.time()):
                self._before = None
            else:
                self._retry_at = now


def _ahead() -> float:
    return time.time() - time.monotonic()
