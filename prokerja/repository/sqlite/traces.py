"""The traces in which declarations were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.claim import Traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.repository.sqlite.database import Database

CLAIMED = """
    SELECT held.value, queue, context
    FROM claim, json_each(claim.declarations) AS held
    JOIN declaration ON declaration.id = held.value JOIN lane ON lane.id = declaration.lane
    LEFT JOIN trace ON trace.declaration = held.value
    WHERE claim.token = ?"""


def keep_trace(database: Database, id: int, context: str) -> None:
    """Inside the transaction that declares."""
    database.execute("INSERT INTO trace (declaration, context) VALUES (?, ?)", (id, context))


def traced(database: Database, token: int) -> Iterator[tuple[int, Traced]]:
    """What a claim holds, each with its id."""
    for id, queue, context in database.execute(CLAIMED, (token,)).fetchall():
        yield id, Traced(queue, context)
