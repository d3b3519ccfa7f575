"""What people have said of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.flow import QueueRule, Rate

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

ALL = """
    SELECT name, max_running, max_starts, rate_seconds, paused_at, paused_by, paused_why,
        paused_until FROM queue ORDER BY name"""


class QueueRules:
    """Reads and writes inside the transaction at hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[QueueRule]:
        """Those of every queue of which something was said."""
        return [
            QueueRule(name, most, None if starts is None else Rate(starts, seconds), *pause)
            for name, most, starts, seconds, *pause in self._database.execute(ALL)
        ]
