"""How far jobs have come, on its way to the supervisor: the latest word, some times a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from prokerja.text import shown, utf8

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.realizer.running_job import RunningJob
    from prokerja.worker.wire.messages import Told

INTERVAL_SECONDS = 0.25
"""Between two reports of one realizer, at least."""
MAX_NUMBER = 2**53
"""Up to which every whole number is the same in JSON, wherever it is read."""
MAX_TEXT_CHARACTERS = 255


class ProgressReports:
    """A thread sends them, so that the last word arrives, too; the first word starts it."""

    def __init__(self, running: RunningJob, send: Callable[[], None]) -> None:
        self._running = running
        self._send = send
        self.latest: dict[int, Told] = {}
        """What has not been sent yet, by sequence number."""
        self._asked = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def report(self, job: object, done: float, total: float | None, text: str) -> None:
        """Keep what the running job says; ValueError or TypeError for what cannot be meant."""
        done = _number(done, "done")
        total = None if total is None else _number(total, "total")
        if not isinstance(text, str):
            raise TypeError(f"progress: the text is {shown(text)}; give a string")
        self.latest[self._running.sequence(job, "progress")] = (done, total, text)
        if not self._asked.is_set():
            self._wake()

    def take(self) -> list[tuple[int, Told]]:
        """What is to be sent now."""
        taken = []
        while self.latest:  # the job goes on meanwhile
            sequence, (done, total, text) = self.latest.popitem()
            taken.append((sequence, (done, total, utf8(text[:MAX_TEXT_CHARACTERS]))))
        return taken

    def _wake(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="prokerja-progress", daemon=True
                )
                self._thread.start()
        self._asked.set()

    def _run(self) -> None:
        while self._asked.wait():
            self._asked.clear()
            self._send()
            time.sleep(INTERVAL_SECONDS)


def _number(value: float, what: str) -> float:
    if not isinstance(value, (int, float)) and hasattr(value, "__float__"):
        value = float(value)  # a number of another library
    if isinstance(value, (int, float)) and 0 <= value <= MAX_NUMBER:
        return value
    raise ValueError(f"progress: {what} is {shown(value)}; give a number from 0 to 2**53")
