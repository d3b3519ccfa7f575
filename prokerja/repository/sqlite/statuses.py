"""Where many declarations stand, and which are open; inside the read transaction at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import NotFound
from prokerja.repository.sqlite.codes import CLAIMED, HIGHEST_ID, IN_HAND, UNSETTLED, status_of
from prokerja.repository.sqlite.places import missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.model.declaration import Status
    from prokerja.repository.sqlite.database import Database

STATUSES = f"""
    SELECT d.id, d.status, d.status = {UNSETTLED} AND {IN_HAND}
    FROM json_each(?) AS wanted CROSS JOIN declaration AS d ON d.id = wanted.value"""
LANES = "SELECT id FROM lane WHERE :queue IS NULL OR queue = :queue"
OPEN = f"""
    SELECT declaration FROM pending WHERE lane IN ({LANES})
    UNION ALL SELECT declaration FROM blocked WHERE lane IN ({LANES})
    UNION ALL SELECT declaration FROM awaiting WHERE lane IN ({LANES})
    UNION ALL SELECT d.id FROM ({CLAIMED}) AS held CROSS JOIN declaration AS d ON d.id = held.value
        WHERE d.status = {UNSETTLED} AND d.lane IN ({LANES})"""
OPEN_CALLED = f"""
    SELECT id FROM declaration WHERE {{called}} AND status = {UNSETTLED}
    AND (:label IS NULL OR label = :label) AND (:queue IS NULL OR lane IN ({LANES}))"""
"""Those with a label, or of a batch."""


def statuses(database: Database, ids: Sequence[int]) -> dict[int, Status]:
    """The status of each; raises NotFound, naming the first that is not there."""
    wanted = str([int(id) for id in ids if 0 < id <= HIGHEST_ID])  # as JSON has it
    rows = database.execute(STATUSES, (wanted,))
    found = {id: status_of(code, claimed=bool(claimed)) for id, code, claimed in rows}
    given: dict[int, Status] = {}
    for id in ids:
        status = found.get(id)
        if status is None:
            raise NotFound(missing(database, id))
        given[id] = status
    return given


def open_ids(
    database: Database, queue: str | None, label: str | None, batch: str | None
) -> list[int]:
    """Those of a queue, with a label, of a batch that have not ended, in their order."""
    called = "batch = :batch" if batch is not None else "label = :label"
    is_called = batch is not None or label is not None
    query = OPEN_CALLED.format(called=called) if is_called else OPEN
    rows = database.execute(query, {"queue": queue, "label": label, "batch": batch})
    return sorted(id for (id,) in rows)
