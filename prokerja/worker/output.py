"""What jobs print: to a pipe, with the job's id in the stream, and on to the worker's stderr.

The realizer announces a job in its pipe before that job's first line; the supervisor's pump
turns announcements into labels at the start of each line. What a child process or a C library
writes to the bare descriptors goes the same way; only what a job of less than a moment writes
to them by itself may bear the id of the one before.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import selectors
import sys
import threading
from typing import BinaryIO

ANNOUNCEMENT = re.compile(rb"\x1e(\d{1,19})\x1e")
STARTS = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec"})
"""Audit events of a job that starts another process."""
PIECE = 2**16
GATHER, LITTLE = 0.02, 2**12
"""Seconds for which more is awaited when fewer bytes than so many have come."""
LONGEST_LINE = 2**13
"""Bytes of a line without an end that are held back for its end."""


class Announcing(io.RawIOBase):
    """A descriptor whose writes are preceded by the id of the job that makes them."""

    def __init__(self, descriptor: int, announcer: Announcer) -> None:
        self._descriptor = descriptor
        self._announcer = announcer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: object) -> int:
        self._announcer.announce()
        return os.write(self._descriptor, data)  # type: ignore[arg-type]


class Announcer:
    """Standard output and error of a realizer."""

    def __init__(self) -> None:
        self.job = 0
        """The id of the job at hand."""
        self._announced = 0
        self._spare = os.dup(1)
        self._open()
        sys.addaudithook(self._overhear)

    def announce(self) -> None:
        """Say in the pipe, once, which job speaks from here on."""
        if self._announced != self.job:
            self._announced = self.job
            os.write(self._spare, b"\x1e%d\x1e" % self.job)

    def flush(self) -> None:
        """Send what the job at hand has printed; mend what it closed, redirected or replaced."""
        try:
            self._out.flush()
            self._err.flush()
            intact = sys.stdout is self._out and sys.stderr is self._err
        except Exception:  # noqa: BLE001  a job may have put anything in their place
            intact = False
        os.dup2(self._spare, 1)
        os.dup2(self._spare, 2)
        if not intact:
            self._mend()

    def _overhear(self, event: str, _: object) -> None:
        if event in STARTS:  # what the job starts may write to the bare descriptors
            self.announce()

    def _mend(self) -> None:
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
        self._open()

    def _open(self) -> None:
        self._out, self._err = (self._text(fd) for fd in (1, 2))
        sys.stdout, sys.stderr = self._out, self._err

    def _text(self, descriptor: int) -> io.TextIOWrapper:
        raw = io.BufferedWriter(Announcing(descriptor, self))
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)


class Pump:
    """Carries what realizers print to `target`, each line with a label, in a thread of its own.

    A reader that is slow, or has stopped, holds up this thread and whoever prints, never the
    supervisor.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prokerja-output", daemon=True)
        self._thread.start()

    def add(self, descriptor: int) -> None:
        """Carry what comes out of this pipe from now on, until its end."""
        with self._lock:
            self._selector.register(descriptor, selectors.EVENT_READ, Labels())
        self._stir()

    def stop(self, patience: float) -> None:
        """Carry what is already in the pipes, for `patience` seconds at most, and end."""
        self._stopping.set()
        self._stir()
        self._thread.join(patience)

    def _stir(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been stirred, and is held up
            os.write(self._waker, b".")

    def _run(self) -> None:
        while True:
            events = self._selector.select(0 if self._stopping.is_set() else None)
            pipes = [key for key, _ in events if key.data is not None]
            if not pipes and self._stopping.is_set():
                return
            if len(pipes) < len(events):
                os.read(self._wake, PIECE)
            if sum(map(self._carry, pipes)) < LITTLE:
                self._stopping.wait(GATHER)

    def _carry(self, key: selectors.SelectorKey) -> int:
        """Carry what there is in one pipe; returns how many bytes that were."""
        piece = os.read(key.fd, PIECE)
        try:
            self._target.write(key.data.feed(piece))
            self._target.flush()
        except (OSError, ValueError):
            pass  # nobody reads the worker's stderr any more
        if not piece:
            with self._lock:
                self._selector.unregister(key.fd)
            os.close(key.fd)
        return len(piece)


class Labels:
    """Turns one realizer's stream into whole lines, each with its job's id before it."""

    def __init__(self) -> None:
        self._label = b""
        self._partial = b""

    def feed(self, piece: bytes) -> bytes:
        """The lines that `piece` completes; an empty piece ends the last one."""
        out = bytearray()
        text, *rest = ANNOUNCEMENT.split(piece)
        self._add(text, out)
        for job, text in zip(rest[::2], rest[1::2], strict=True):
            self._end(out)
            self._label = b"[%s] " % job
            self._add(text, out)
        if not piece or len(self._partial) > LONGEST_LINE:
            self._end(out)
        return bytes(out)

    def _add(self, text: bytes, out: bytearray) -> None:
        whole, newline, self._partial = (self._partial + text).rpartition(b"\n")
        if newline:
            out += self._label + whole.replace(b"\n", b"\n" + self._label) + b"\n"

    def _end(self, out: bytearray) -> None:
        if self._partial:
            out += self._label + self._partial + b"\n"
            self._partial = b""
