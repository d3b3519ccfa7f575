"""What a job uses of memory and processor time, measured where that costs it nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from typing import TYPE_CHECKING

from prokerja.worker import memory
from prokerja.worker.wire.shared_page import MARK, OLD_PEAK, OOM_KILLS

if TYPE_CHECKING:
    from prokerja.running import Running
    from prokerja.worker.wire.shared_page import SharedPage

RSS_UNIT = 1024 if sys.platform == "linux" else 1
"""Bytes, of what the system tells."""
RESET = "/proc/self/clear_refs"
"""Writing a 5 there sets the peak to what is held now (Linux)."""
PEAK = b"5"


class Costs:
    """The supervisor finds the marks in the page, should this process die of the job.

    A job that has always been short is measured from the batch that it is in. The system knows one
    peak of all children that have ended: one that is lower than an earlier job's is not told.
    """

    def __init__(self, page: SharedPage, running: Running) -> None:
        self._cells = page.cells
        self._running = running
        self._children_ns = 0

    def mark(self) -> None:
        """What is spent from here on is the next job's."""
        self._cells[MARK] = time.process_time_ns() + self._children_ns

    def begin(self) -> None:
        """A job begins that may take long."""
        with contextlib.suppress(OSError):  # it may not be there, or not be for us
            descriptor = os.open(RESET, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, PEAK)
            finally:
                os.close(descriptor)
        self._running.peak_bytes = 0
        self._cells[OOM_KILLS] = memory.oom_kills()
        self.mark()

    def end(self) -> tuple[int, float]:
        """What the job has used that ends: its peak in bytes, and seconds of processor time."""
        known_peak, self._running.peak_bytes = self._running.peak_bytes, 0
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        children_peak = children.ru_maxrss * RSS_UNIT
        if not known_peak and children_peak > self._cells[OLD_PEAK]:
            known_peak = children_peak
        self._cells[OLD_PEAK] = children_peak
        self._children_ns = int((children.ru_utime + children.ru_stime) * 1e9)
        spent = time.process_time_ns() + self._children_ns - self._cells[MARK]
        return max(peak, known_peak), max(spent, 0) / 1e9
