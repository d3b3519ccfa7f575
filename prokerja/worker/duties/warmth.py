"""Keeps warm what an idle worker needs to begin a job.

Memory that nobody touches for minutes is taken away: by the system, or by the host of a virtual
machine. The first job after that would wait until all of it has come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import Busy

if TYPE_CHECKING:
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.turns import Turns

LOOK_SECONDS = 10.0
"""Between two looks of an idle worker."""


class Warmth:
    """Looks for work where none is expected, and has a realizer look into its inbox."""

    def __init__(self, maintenance: Maintenance, turns: Turns, pool: Pool) -> None:
        self._maintenance = maintenance
        self._turns = turns
        self._pool = pool
        self._looked_at = 0.0

    @property
    def due(self) -> float | None:
        """None while there is work, or none is taken."""
        idle_since = self._maintenance.idle_since
        if idle_since is None or not self._turns.has_room:
            return None
        return max(idle_since, self._looked_at) + LOOK_SECONDS

    def run(self, now: float) -> None:
        """Do what the next job will need, without one; not now if another process is writing."""
        self._looked_at, writes = now, self._turns.writes
        woken = writes.woken
        try:
            self._turns.write()
            self._pool.send()
        except Busy:
            writes.woken = woken  # whoever writes will wake us
        self._pool.warm()
