"""Tells in a realizer's title which job it runs, if that takes longer than a moment."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from prokerja.worker.wire.shared_page import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.wire.shared_page import SharedPage

IDLE = "idle realizer"


class Titles:
    """The supervisor says what to show; of a short job it says nothing."""

    def __init__(self, set_title: Callable[[str], None], page: SharedPage, slots: int) -> None:
        """`slots` are those of the page for jobs that run beside each other."""
        self._set_title = set_title
        self._page = page
        self._slots = slots
        self._lock = threading.Lock()
        self._shows_job = False
        set_title(IDLE)

    def take(self, requests: bytes) -> None:
        """Show what there is to show among requests; in another thread than that of the jobs."""
        for request in requests.split(b"\n"):
            sequence, _, title = request.partition(b" ")
            if title and sequence.isdigit():
                self._show(int(sequence), title.decode())

    def clear(self) -> None:
        """The job has ended; for the thread that runs them."""
        with self._lock:
            if self._shows_job:
                self._set_title(IDLE)
                self._shows_job = False

    def _show(self, sequence: int, title: str) -> None:
        with self._lock:
            if self._is_running(sequence):
                self._set_title(title)
                self._shows_job = True

    def _is_running(self, sequence: int) -> bool:
        page = self._page
        return page.cells[RUNNING] == sequence or sequence in dict(page.slots(self._slots))
