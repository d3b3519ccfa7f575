"""How a declaration's status stands in its row; whether it is claimed stands in `claim`."""

from __future__ import annotations

from prokerja.model.declaration import Status

UNSETTLED, COMPLETED, FAILED = 0, 1, 2
CODES = {
    Status.PENDING: UNSETTLED,
    Status.PROCESSING: UNSETTLED,
    Status.COMPLETED: COMPLETED,
    Status.FAILED: FAILED,
}


def status_of(code: int | None, *, claimed: bool) -> Status | None:
    """The status that a row's code means; None for no row."""
    if code == UNSETTLED:
        return Status.PROCESSING if claimed else Status.PENDING
    return {COMPLETED: Status.COMPLETED, FAILED: Status.FAILED}.get(code)  # type: ignore[arg-type]


CLAIMED = "SELECT value FROM claim, json_each(claim.declarations)"
IN_HAND = f"(d.id IN ({CLAIMED}) OR d.id IN (SELECT declaration FROM awaiting))"
"""Of an open declaration: whether it is processing."""
HIGHEST_ID = 2**63 - 1
QUEUE = "INSERT INTO pending (lane, due_at, declaration) VALUES (?, ?, ?)"
TURNS = 2**32
"""A claim's token is its worker's id times this, plus the number of the worker's turn."""
