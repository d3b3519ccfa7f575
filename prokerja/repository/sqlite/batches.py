"""Declarations that were given the name of a batch, counted one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.summary import Tally

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database

COUNTS = """
    WITH claimed AS MATERIALIZED (SELECT value FROM claim, json_each(claim.declarations)),
    member AS (
        SELECT lane, due_at, CASE WHEN status <> 0 THEN status
            WHEN id IN (SELECT value FROM claimed) THEN 3
            WHEN id IN (SELECT declaration FROM awaiting) THEN 4 ELSE 0 END AS state
        FROM declaration WHERE batch = :batch
    )
    SELECT queue, sum(state = 0), sum(state >= 3), sum(state = 1), sum(state = 2), sum(state = 4),
        min(CASE state WHEN 0 THEN due_at END)
    FROM member JOIN lane ON lane.id = member.lane
    WHERE :queue IS NULL OR queue = :queue GROUP BY queue ORDER BY queue"""


def tallies(
    database: Database, batch: str, queue: str | None
) -> tuple[list[Tally], dict[str, float]]:
    """How many of a batch stand where in each queue, or in one; and the least due time there."""
    rows = database.execute(COUNTS, {"batch": batch, "queue": queue}).fetchall()
    due = {name: due for name, *_, due in rows if due is not None}
    return [Tally(*row[:6]) for row in rows], due
