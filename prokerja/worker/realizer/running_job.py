"""What the running job is told apart by, for what it asks of its realizer."""

from __future__ import annotations

import os
from threading import get_ident
from typing import TYPE_CHECKING

from prokerja.worker.wire.shared_page import RUNNING

if TYPE_CHECKING:
    from prokerja.running import Running
    from prokerja.worker.wire.shared_page import SharedPage


class RunningJob:
    """Made by the thread that runs jobs."""

    def __init__(self, attempt: Running, page: SharedPage) -> None:
        self.attempt = attempt
        self._page = page
        self._process, self._thread = os.getpid(), get_ident()

    def sequence(self, job: object, what: str) -> int:
        """The running job's sequence number, when it or a thread of it asks for `what`.

        Raises RuntimeError for a thread of a job that has ended, and in a forked process.
        """
        if os.getpid() != self._process:
            raise RuntimeError(f"{what} is for the job's own process, not for one that it starts")
        # Read before the look at the job: that is taken away before the number changes.
        sequence = self._page.cells[RUNNING]
        if get_ident() != self._thread and self.attempt.job is not job:
            raise RuntimeError(f"{what} is for the job that is running, and this one is not")
        return sequence
