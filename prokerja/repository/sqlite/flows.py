"""What declarations are subject to beside their queues, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.model.flow import Flow

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

COLUMNS = "limit_key, max_running, rate_key, max_starts, rate_seconds, needs, fair_key"
INSERT = f"INSERT OR IGNORE INTO flow ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
FIND = f"SELECT id FROM flow WHERE ({COLUMNS}) = (?, ?, ?, ?, ?, ?, ?)"
READ = f"SELECT {COLUMNS} FROM flow WHERE id = ?"


class Flows:
    """Rows that nobody changes; their ids are never used again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def id_of(self, flow: Flow) -> int:
        """The flow's id, making it if it is new; inside a write transaction."""
        import json

        needs = json.dumps(dict(flow.needs), separators=(",", ":"), sort_keys=True)
        row = (*flow[:5], needs, flow.fair_key)
        self._database.execute(INSERT, row)
        [id] = self._database.execute(FIND, row).fetchone()
        return int(id)

    def of(self, id: int) -> Flow | None:
        """The flow of that id; None for 0."""
        return _flow(self._database.execute(READ, (id,)).fetchone()) if id else None


def _flow(row: tuple[Any, ...]) -> Flow:
    import json

    *keys, needs, fair_key = row
    return Flow._make((*keys, tuple(sorted(json.loads(needs).items())), fair_key))
