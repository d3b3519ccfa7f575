"""Turns the announcements in a realizer's output into a prefix of each line."""

from __future__ import annotations

import re

ANNOUNCEMENT = re.compile(rb"\x1e(\d{1,19})\x1e")
MAX_LINE_BYTES = 2**13
"""Of a line without an end that are held back until its end comes."""


class LinePrefixer:
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
        if not piece or len(self._partial) > MAX_LINE_BYTES:
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
