"""What jobs have printed, on our own stdout and stderr."""

from __future__ import annotations

import codecs
import sys
import time
from typing import TYPE_CHECKING

from prokerja.output.pieces import STDERR, STDOUT
from prokerja.text import escaped
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Collection

    from prokerja.output.pieces import Piece
    from prokerja.output.reading import Reading

BOTH = frozenset((STDOUT, STDERR))
KEPT_CONTROLS = "\n\t"
SAY_SECONDS = 1.0
"""Between two lines about what is missing."""


class JobOutput:
    """Shows pieces: the bytes as they came, but at a terminal what they would do there.

    `streams` are those to show, on stdout; with `apart`, each on our own of that kind. With
    `timestamps`, each line begins with when it was read.
    """

    def __init__(
        self,
        streams: Collection[int] = BOTH,
        *,
        apart: bool = False,
        raw: bool = False,
        timestamps: bool = False,
    ) -> None:
        self._streams = streams
        self._apart = apart
        self._raw = raw
        self._timestamps = timestamps
        self._decoders = {
            stream: codecs.getincrementaldecoder("utf-8")("surrogateescape") for stream in BOTH
        }
        self._begins_line = True
        self._reading: Reading | None = None
        self._end = 0
        self._missing = 0
        """Bytes that are not there, of which nothing was said yet."""
        self._said_at = -SAY_SECONDS

    def show(self, reading: Reading, piece: Piece, *, is_cut: bool = False) -> None:
        """The next piece of an attempt; the first may come after others that are left out."""
        if reading is not self._reading:
            self._reading, self._end = reading, piece.offset if is_cut else 0
        if piece.offset > self._end:
            self._missing += piece.offset - self._end
            if time.monotonic() - self._said_at > SAY_SECONDS:
                self._say_missing()
        self._end = piece.end
        if piece.stream in self._streams:
            self._write(piece)

    def close(self) -> None:
        """There is no more to show."""
        if self._missing:
            self._say_missing()

    def _say_missing(self) -> None:
        sys.stdout.flush()
        print(f"prokerja: {self._missing:,} bytes were not kept", file=sys.stderr, flush=True)
        self._missing, self._said_at = 0, time.monotonic()

    def _write(self, piece: Piece) -> None:
        target = sys.stderr if self._apart and piece.stream == STDERR else sys.stdout
        data = self._stamped(piece) if self._timestamps else piece.data
        if not self._raw and target.isatty():
            text = self._decoders[piece.stream].decode(data)
            target.write("".join(c if c in KEPT_CONTROLS else escaped(c) for c in text))
        else:
            target.flush()
            target.buffer.write(data)
        target.flush()

    def _stamped(self, piece: Piece) -> bytes:
        stamp = f"{iso(piece.time)} ".encode()
        lines = piece.data.splitlines(keepends=True)
        begins = [self._begins_line, *(True for _ in lines[1:])]
        self._begins_line = piece.data.endswith(b"\n")
        return b"".join(
            stamp + line if first else line for first, line in zip(begins, lines, strict=True)
        )
