"""Puts a label before each line."""

from __future__ import annotations

MAX_LINE_BYTES = 2**13
"""Of a line without an end that are held back until its end comes."""


class LinePrefixer:
    """Turns pieces of a stream into whole lines, each with the label of who printed it."""

    def __init__(self) -> None:
        self._label = b""
        self._partial = b""

    def feed(self, label: bytes, piece: bytes) -> bytes:
        """The lines that `piece` completes."""
        ended = self.end() if label != self._label else b""
        self._label = label
        whole, newline, self._partial = (self._partial + piece).rpartition(b"\n")
        if newline:
            ended += label + whole.replace(b"\n", b"\n" + label) + b"\n"
        if len(self._partial) > MAX_LINE_BYTES:
            ended += self.end()
        return ended

    def end(self) -> bytes:
        """The last line, if it has no end."""
        partial, self._partial = self._partial, b""
        return self._label + partial + b"\n" if partial else b""
