"""The program's own stdin, stdout and stderr, which wait where others would give up."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

READ_BUFFER_BYTES = 2**16
ESCAPED = "backslashreplace"
OUTPUT_ENCODING = "prokerja_output_encoding"
"""An option of the interpreter (`-X`): what the terminal takes, though names are read as UTF-8."""


class PatientFile(io.FileIO):
    """A descriptor that waits even if it is non-blocking.

    Whoever shares it with us may make it so at any time. Python's own streams then take a gap for
    the end of the input, and lose the part of the output for which there is no room just now.
    """

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while (count := super().readinto(buffer)) is None:
            self._wait(reading=True)
        return count

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, also without a buffer above that would write the rest."""
        rest = whole = memoryview(data).cast("B")
        while rest:
            count = super().write(rest)
            if count is None:
                self._wait(reading=False)
            else:
                rest = rest[count:]
        return len(whole)

    def _wait(self, *, reading: bool) -> None:
        from select import select

        select([self] if reading else [], [] if reading else [self], [])


def insist_on_utf8() -> None:
    """Start again if the locale would have names read as anything else, to keep every byte.

    What is declared as text here is opened by workers, whose locale may be another.
    """
    if sys.getfilesystemencoding() != "utf-8":
        encoding = getattr(sys.stdout, "encoding", "utf-8")
        options = ["-X", "utf8", "-X", f"{OUTPUT_ENCODING}={encoding}"]
        os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606


def open_standard_streams() -> None:
    """Make stdin, stdout and stderr fit for any neighbour, terminal and locale.

    One that is closed becomes one without content; what an encoding cannot write is escaped.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            nothing = open(os.devnull, mode, encoding="utf-8", errors=ESCAPED)  # noqa: SIM115
            setattr(sys, name, nothing)
        else:
            setattr(sys, name, _patient(stream, mode))


def _patient(stream: Any, mode: str) -> io.TextIOWrapper:
    raw: Any = PatientFile(stream.fileno(), f"{mode}b", closefd=False)
    raw.name = stream.name
    if mode == "r":
        raw = io.BufferedReader(raw, READ_BUFFER_BYTES)
    elif not isinstance(stream.buffer, io.RawIOBase):  # as it is where PYTHONUNBUFFERED is set
        raw = io.BufferedWriter(raw)
    return io.TextIOWrapper(
        raw,
        encoding=sys._xoptions.get(OUTPUT_ENCODING, stream.encoding),  # noqa: SLF001
        errors=stream.errors if mode == "r" else ESCAPED,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def leave_if_unread(code: int) -> None:
    """End the process if stderr takes nothing just now: Python would wait for it for ever."""
    from select import select

    with suppress(OSError, ValueError):
        if not select([], [sys.stderr], [], 0)[1]:
            os._exit(code)


def let_go_of_broken_streams() -> None:
    """What cannot be written now cannot be at exit either, where Python would complain of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
