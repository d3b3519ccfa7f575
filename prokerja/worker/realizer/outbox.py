"""What a realizer has to tell its supervisor, and the frames in which it does."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from prokerja.worker.wire.messages import Report

if TYPE_CHECKING:
    from prokerja.verdicts import Ended
    from prokerja.worker.realizer.progress import ProgressReports
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.messages import Batch

EMPTY = Report()


class Outbox:
    """Any thread may send what has gathered here."""

    def __init__(self, channel: Channel[Batch]) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._sent_steps = 0
        self.ended: deque[tuple[int, Ended]] = deque()
        """What has come of jobs, by sequence number."""
        self.descriptions: deque[tuple[int, str]] = deque()
        """What jobs call themselves, by sequence number."""
        self.costs: deque[tuple[int, int, float]] = deque()
        """What jobs have used, by sequence number; put here before it is told that they ended."""
        self.tracing_errors: deque[str] = deque()
        """Why spans are not received."""
        self.report = Report()
        """What only the thread that runs jobs may send, such as jobs that were not started."""
        self.progress: ProgressReports | None = None

    def send(self) -> None:
        """All of it; for the thread that runs jobs."""
        self._send(own=True)

    def send_reportable(self) -> None:
        """What any thread may send at any time."""
        self._send(own=False)

    def send_step(self, sequence: int, name: str, result: str) -> int:
        """A step of a job; returns how many have been sent by then."""
        with self._sending:
            self._channel.post(Report(steps=[(sequence, name, result)]))
            self._sent_steps += 1
            return self._sent_steps

    def _send(self, *, own: bool) -> None:
        with self._sending:
            report = Report()
            if own:
                report, self.report = self.report, report
            if self.progress is not None and self.progress.latest:
                report.progress = self.progress.take()
            while self.descriptions:
                report.descriptions.append(self.descriptions.popleft())
            while self.tracing_errors:
                report.tracing_errors.append(self.tracing_errors.popleft())
            while self.ended:
                report.ended.append(self.ended.popleft())
            while self.costs:
                report.costs.append(self.costs.popleft())
            if report != EMPTY:
                self._channel.post(report)
