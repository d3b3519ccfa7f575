"""A realizer's standard output and error: a pipe, with the job's id in the stream.

A job is announced in the pipe before its first line. What a child process or a C library writes
to the bare descriptors goes the same way; only output that a very short job's child writes
directly may carry the previous job's id.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

STARTS = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec"})
"""Audit events of a job that starts another process."""


class TaggedStream(io.RawIOBase):
    """A descriptor whose writes are preceded by the id of the job that makes them."""

    def __init__(self, descriptor: int, capture: OutputCapture) -> None:
        self._descriptor = descriptor
        self._capture = capture

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: object) -> int:
        self._capture.announce()
        return os.write(self._descriptor, data)  # type: ignore[arg-type]


class OutputCapture:
    """Standard output and error of a realizer."""

    def __init__(self) -> None:
        self.job = 0
        """The id of the running job."""
        self._announced = 0
        self._spare = os.dup(1)
        self._open()
        sys.addaudithook(self._on_event)

    def announce(self) -> None:
        """Say in the pipe, once, which job speaks from here on."""
        if self._announced != self.job:
            self._announced = self.job
            os.write(self._spare, b"\x1e%d\x1e" % self.job)

    def flush(self) -> None:
        """Send what the job has printed; restore what it closed, redirected or replaced."""
        try:
            self._out.flush()
            self._err.flush()
            intact = sys.stdout is self._out and sys.stderr is self._err
        except Exception:  # noqa: BLE001  a job may have put anything in their place
            intact = False
        os.dup2(self._spare, 1)
        os.dup2(self._spare, 2)
        if not intact:
            self._restore()

    def _on_event(self, event: str, _: object) -> None:
        if event in STARTS:  # what the job starts may write to the bare descriptors
            self.announce()

    def _restore(self) -> None:
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
        self._open()

    def _open(self) -> None:
        self._out, self._err = (self._text(fd) for fd in (1, 2))
        sys.stdout, sys.stderr = self._out, self._err

    def _text(self, descriptor: int) -> io.TextIOWrapper:
        raw = io.BufferedWriter(TaggedStream(descriptor, self))
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
