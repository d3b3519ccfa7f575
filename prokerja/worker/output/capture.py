"""A realizer's standard output and error: two pipes, with who speaks in the stream.

An attempt is announced in a pipe before its first byte there, and nobody is after its end. What a
child process or a C library writes to the bare descriptors goes the same way; of a very short job,
what is written there without any sign of it is nobody's.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

from prokerja.worker.output.announcements import NOBODY, Speaker, announcement
from prokerja.worker.wire.high_descriptors import duplicate_high

STARTS = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec"})
"""Audit events of a job that starts another process."""
STREAMS = (1, 2)
"""Descriptors of standard output and error."""


class TaggedStream(io.RawIOBase):
    """A descriptor whose writes are preceded by who makes them."""

    def __init__(self, descriptor: int, capture: OutputCapture) -> None:
        self._descriptor = descriptor
        self._capture = capture

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: object) -> int:
        self._capture.announce_in(self._descriptor)
        return os.write(self._descriptor, data)  # type: ignore[arg-type]


class OutputCapture:
    """Standard output and error of a realizer."""

    def __init__(self, mark: str) -> None:
        self.speaker = NOBODY
        """The running attempt."""
        self._mark = mark
        self._announced = dict.fromkeys(STREAMS, NOBODY)
        self._has_spoken = False
        self._spares = {descriptor: duplicate_high(descriptor) for descriptor in STREAMS}
        self._open()
        sys.addaudithook(self._on_event)

    def announce(self) -> None:
        """Say in both pipes, once, who speaks from here on."""
        for descriptor in STREAMS:
            self.announce_in(descriptor)

    def announce_in(self, descriptor: int) -> None:
        """Say it in one of them."""
        if self._announced[descriptor] != self.speaker:
            self._say(descriptor, self.speaker)

    def end(self) -> None:
        """Send what the attempt has printed, and let nobody speak after it."""
        self.flush()
        if self._has_spoken:
            for descriptor, announced in self._announced.items():
                if announced != NOBODY:
                    self._say(descriptor, NOBODY)
            self._has_spoken = False

    def flush(self) -> None:
        """Send what was printed; restore what the job has closed, redirected or replaced."""
        try:
            self._out.flush()
            self._err.flush()
            intact = sys.stdout is self._out and sys.stderr is self._err
        except Exception:  # noqa: BLE001  a job may have put anything in their place
            intact = False
        os.dup2(self._spares[1], 1)
        os.dup2(self._spares[2], 2)
        if not intact:
            self._restore()

    def _say(self, descriptor: int, speaker: Speaker) -> None:
        self._announced[descriptor] = speaker
        self._has_spoken = True
        os.write(self._spares[descriptor], announcement(self._mark, speaker))

    def _on_event(self, event: str, _: object) -> None:
        if event in STARTS:  # what the job starts may write to the bare descriptors
            self.announce()

    def _restore(self) -> None:
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
        self._open()

    def _open(self) -> None:
        self._out, self._err = map(self._text, STREAMS)
        sys.stdout, sys.stderr = self._out, self._err

    def _text(self, descriptor: int) -> io.TextIOWrapper:
        raw = io.BufferedWriter(TaggedStream(descriptor, self))
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
