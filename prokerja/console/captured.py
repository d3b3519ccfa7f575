"""All that is written to stderr, by whomever, handed on line by line."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja import signal_masks

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Take = Callable[[str, float], object]

STDERR = 2
READ_BYTES = 2**16
MAX_LINE_BYTES = 2**14
"""Of a line without an end that are held back until its end comes."""
LAST_LINES_SECONDS = 2.0
"""How long the last lines may take to be handed on."""


class Lines:
    """Makes lines of pieces."""

    def __init__(self, take: Take) -> None:
        """`take` is given each line, without its end, and the second since the epoch."""
        self._take = take
        self._partial = b""

    def feed(self, piece: bytes) -> None:
        """Hand on the lines that this completes."""
        *whole, self._partial = (self._partial + piece).split(b"\n")
        for line in whole:
            self._hand_on(line)
        if len(self._partial) > MAX_LINE_BYTES:
            self.end()

    def end(self) -> None:
        """Hand on the last line, if it has no end."""
        line, self._partial = self._partial, b""
        if line:
            self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        self._take(line.decode(errors="backslashreplace"), time.time())


class CapturedStderr:
    """Hands on what this process and its children write to stderr within a block."""

    def __init__(self, take: Take) -> None:
        self._lines = Lines(take)

    def __enter__(self) -> CapturedStderr:
        sys.stderr.flush()
        self._before = os.dup(STDERR)
        self._reader, writer = os.pipe()
        os.dup2(writer, STDERR)
        os.close(writer)
        self._thread = threading.Thread(target=self._run, name="prokerja-stderr", daemon=True)
        with signal_masks.blocked():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with suppress(OSError):
            sys.stderr.flush()
        os.dup2(self._before, STDERR)  # which closes our end of the pipe
        os.close(self._before)
        self._thread.join(LAST_LINES_SECONDS)

    def _run(self) -> None:
        while piece := os.read(self._reader, READ_BYTES):
            self._lines.feed(piece)
        self._lines.end()
        os.close(self._reader)


class LineStream(io.TextIOBase):
    """A text stream in place of `sys.stderr`, whose lines are handed on."""

    def __init__(self, take: Take) -> None:
        self._lines = Lines(take)
        self.buffer = LineBuffer(take)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STDERR

    def write(self, text: str) -> int:
        self._lines.feed(text.encode(errors="backslashreplace"))
        return len(text)


class LineBuffer(io.RawIOBase):
    """The same for bytes."""

    def __init__(self, take: Take) -> None:
        self._lines = Lines(take)

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self._lines.feed(bytes(piece))
        return len(piece)
