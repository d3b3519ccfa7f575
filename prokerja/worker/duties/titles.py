"""Tells in the supervisor's title how many jobs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.pool.pool import Pool

INTERVAL_SECONDS = 0.5
"""Between two changes of the title."""


class Titles:
    """Looks at the pool, and is due when its title is not true any more."""

    def __init__(self, pool: Pool, set_title: Callable[[str], None]) -> None:
        self._pool = pool
        self._set_title = set_title
        self._shown = -1
        self._set_at = 0.0

    @property
    def due(self) -> float | None:
        return None if self._running() == self._shown else self._set_at + INTERVAL_SECONDS

    def run(self, now: float) -> None:
        self._shown, self._set_at = self._running(), now
        self._set_title(f"supervisor, {f'{self._shown} running' if self._shown else 'idle'}")

    def _running(self) -> int:
        """How many realizers have something to do."""
        return sum(bool(process.jobs) for process in self._pool.processes)
