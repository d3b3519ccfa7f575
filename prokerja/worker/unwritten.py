"""What a worker could not write to the store, for the next worker to find."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, get_args

from prokerja.verdicts import Ended
from prokerja.worker.wire.journal import Journal, read
from prokerja.worker_events import ResultsKept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prokerja.verdicts import Settlement
    from prokerja.worker_events import Event

ENDED = get_args(Ended)


def keep_unwritten(
    lock: int,
    ring: int,
    settlements: Mapping[int, Sequence[Settlement]],
    tell: Callable[[Event], None],
) -> None:
    """Write how jobs have ended, by token, to a ring of the lock's file; tell how many that were.

    What has not ended needs no word: the next worker puts it back.
    """
    ended = {
        (token, id): verdict
        for token, some in settlements.items()
        for id, _, verdict in some
        if isinstance(verdict, ENDED)
    }
    if not ended:
        return
    journal = Journal(lock, ring)
    for entry in ended.items():
        journal.add(entry)
        journal.write()
    with contextlib.suppress(OSError):  # what comes next may be the end of the machine
        os.fsync(lock)
    kept = len(ended.keys() & read(lock, ring).keys())
    tell(ResultsKept(kept, len(ended) - kept))
