"""How far jobs have come; a row stays until its declaration is purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.model.progress import Progress
    from prokerja.repository.sqlite.database import Database

WRITE = """
    INSERT INTO progress (declaration, attempt, done, total, text, reported_at)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (declaration) DO UPDATE SET attempt = excluded.attempt, done = excluded.done,
        total = excluded.total, text = excluded.text, reported_at = excluded.reported_at"""
COLUMN = """
    (SELECT json_array(attempt, done, total, text, reported_at) FROM progress
    WHERE declaration = d.id)"""
"""As a column of a query about declarations `d`."""


def write_progress(database: Database, rows: Iterable[tuple[int, Progress]]) -> None:
    """The latest of some declarations, which their worker holds; inside its transaction."""
    database.executemany(WRITE, [(id, *progress) for id, progress in rows])
