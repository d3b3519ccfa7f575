"""Follows what a job prints, attempt by attempt, until the job has ended."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja.output.reading import Reading
from prokerja.waiting import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.model.record import Detail
    from prokerja.output.pieces import Piece
    from prokerja.queue import Queue

LOOK_SECONDS = 0.05
"""Between two looks at what a running job prints."""
MAX_SLEEP_SECONDS = 30.0
"""Between two looks at a job that waits."""


def follow(
    queue: Queue, id: int, attempt: int | None, show: Callable[[Reading, Piece], None]
) -> Detail:
    """Show what a job prints as it does, from one attempt on, or the one that is next to end.

    Returns the job once it has ended; raises NotFound.
    """
    repository = queue.repository
    with closing(repository.watch(guarded=True)) as watch:
        detail = queue.detail(id)
        number = attempt or max(detail.record.attempts + (detail.record.status not in ENDED), 1)
        reading: Reading | None = None
        while True:
            record = detail.record  # from before the look: what it printed is there
            if repository.outputs is not None:
                reading = reading or Reading(repository.outputs, id, number)
                for piece in reading.pieces():
                    show(reading, piece)
            if record.status in ENDED and record.attempts <= number:
                return detail
            if record.attempts >= number:
                number, reading = number + 1, None
            else:
                runs = record.started_at is not None and record.status not in ENDED
                watch.wait(LOOK_SECONDS if runs else MAX_SLEEP_SECONDS)
                if runs:
                    time.sleep(LOOK_SECONDS / 5)  # a busy queue wakes us all the time
            repository.refuse_gone()
            detail = queue.detail(id)
