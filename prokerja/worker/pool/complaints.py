"""What jobs do to their processes that they should not, each told of once for a job name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker.pool.results import MAX_TEXT
from prokerja.worker.wire.messages import WireError
from prokerja.worker_events import LeftBehind, RealizerReplaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker.wire.messages import Report
    from prokerja.worker_events import Event

MAX_TOLD = 10_000
"""Job names that are remembered; beyond that, nothing more is told."""


class Complaints:
    """Takes them out of realizers' reports."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._told: set[tuple[str, ...]] = set()

    def take(self, process: RealizerProcess, report: Report) -> None:
        """Tell of them; a spoiled process is marked. Raises WireError if it has run no job."""
        if (report.left or report.spoiled) and not process.page.last_begun():
            raise WireError("it has no job to be changed by")
        for name, what, stays in report.left:
            event = LeftBehind(process.pid, name, what[:MAX_TEXT], stays)
            self._tell_once((name, "left", "stays" if stays else ""), event)
        if report.spoiled is not None:
            if process.spoiled:
                raise WireError("it was spoiled before")
            process.spoiled = True
            name, what = report.spoiled
            if what:
                self._tell_once((name, "spoiled"), RealizerReplaced(process.pid, name, what))

    def _tell_once(self, key: tuple[str, ...], event: Event) -> None:
        if key not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(key)
            self._tell(event)
