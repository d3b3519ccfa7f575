"""Reads what one attempt has printed, while it prints or afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.output.pieces import Piece, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.output.folder import OutputFolder


class Reading:
    """The pieces of one attempt; each call of `pieces` goes on where the last one ended."""

    def __init__(self, folder: OutputFolder, id: int, attempt: int) -> None:
        self._files = [folder.head(id, attempt), *folder.tails(id, attempt)]
        self.end = 0
        """How many bytes both streams had, as far as it was read."""
        self._began: float | None = None
        """When the first piece came."""

    def pieces(self) -> Iterator[Piece]:
        """What has come since the last time, in order; bytes may be missing between two."""
        for path in self._in_order():
            try:
                with open(path, "rb") as file:
                    for piece in unpack(file):
                        if not piece.offset and piece.time != self._began:
                            # An attempt that was cut short by a stop is run again as the same one.
                            self._began, self.end = piece.time, 0
                        if piece.end > self.end:
                            self.end = piece.end
                            yield piece
            except FileNotFoundError:
                pass

    def _in_order(self) -> list[str]:
        head, *tails = self._files
        return [head, *sorted(tails, key=_first_offset)]


def _first_offset(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return next((piece.offset for piece in unpack(file)), 0)
    except FileNotFoundError:
        return 0
