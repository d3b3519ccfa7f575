"""What declarations are subject to beside their queues, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.model.flow import Flow

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

COLUMNS = "limit_key, max_running, rate_key, max_starts, rate_seconds, needs, fair_key"
INSERT = f"INSERT OR IGNORE INTO flow ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
FIND = f"SELECT id FROM flow WHERE ({COLUMNS}) = (?, ?, ?, ?, ?, ?, ?)"


def flow_id(database: Database, flow: Flow) -> int:
    """The flow's id, making it if it is new; inside a write transaction."""
    row = _row(flow)
    database.execute(INSERT, row)
    [id] = database.execute(FIND, row).fetchone()
    return int(id)


def flow_of(database: Database, id: int) -> Flow | None:
    """The flow of that id; None for 0."""
    row = database.execute(f"SELECT {COLUMNS} FROM flow WHERE id = ?", (id,)).fetchone()
    return None if row is None else _flow(row)


def _row(flow: Flow) -> tuple[Any, ...]:
    import json

    needs = json.dumps(dict(flow.needs), separators=(",", ":"), sort_keys=True)
    return (*flow[:5], needs, flow.fair_key)


def _flow(row: tuple[Any, ...]) -> Flow:
    import json

    *keys, needs, fair_key = row
    return Flow._make((*keys, tuple(sorted(json.loads(needs).items())), fair_key))
