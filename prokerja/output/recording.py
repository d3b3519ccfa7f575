"""Writes down what one attempt prints: its beginning and its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.output.pieces import Piece

if TYPE_CHECKING:
    from prokerja.output.folder import OutputFolder


class Recording:
    """Keeps the first `limit` bytes, and at least the last `limit`.

    Never raises: what cannot be written, as on a full disk, is left out.
    """

    def __init__(self, folder: OutputFolder, id: int, attempt: int, limit: int) -> None:
        self._folder = folder
        self._attempt = (id, attempt)
        self._tails = folder.tails(id, attempt)
        self._limit = limit
        self._file = -1
        self._room = limit
        """Bytes for which there is room in the open file, or the next one if none is open."""
        self._turn = -1
        """Which of the tails is being written; -1 for none yet."""
        self._offset = 0

    def write(self, stream: int, time: float, data: bytes) -> None:
        """Keep a piece, as far as there is room for it."""
        while data:
            if not self._room:
                self._next_tail()
            part, data = data[: self._room], data[self._room :]
            piece = Piece(stream, time, self._offset, part)
            self._offset = piece.end
            self._room -= len(part)
            self._append(piece.packed())

    def close(self) -> None:
        """There is no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _next_tail(self) -> None:
        self.close()
        self._turn += 1
        self._room = self._limit

    def _append(self, packed: bytes) -> None:
        try:
            if self._file < 0:
                tail = self._tails[self._turn % len(self._tails)]
                first = self._turn < 0
                folder = self._folder
                self._file = folder.start(*self._attempt) if first else folder.create(tail)
            size = os.fstat(self._file).st_size
            if os.write(self._file, packed) < len(packed):
                os.ftruncate(self._file, size)  # a part of a piece would hide those after it
                os.lseek(self._file, size, os.SEEK_SET)
        except OSError:
            pass
