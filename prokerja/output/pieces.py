"""One piece of output after another, in a file: a header, and the bytes as they came."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

STDOUT, STDERR = 1, 2
HEADER = struct.Struct("<BdQI")


class Piece(NamedTuple):
    """What was read at once from one of a job's streams."""

    stream: int
    """STDOUT or STDERR."""
    time: float
    """When, in seconds since the epoch."""
    offset: int
    """How many bytes both streams had before it. Where one piece does not begin where the last
    one ended, what was between them has been left out."""
    data: bytes

    @property
    def end(self) -> int:
        """How many bytes both streams had after it."""
        return self.offset + len(self.data)

    def packed(self) -> bytes:
        """As it stands in a file."""
        return HEADER.pack(self.stream, self.time, self.offset, len(self.data)) + self.data


def unpack(file: BinaryIO) -> Iterator[Piece]:
    """The pieces from here on; the file is left before one that is not there as a whole yet."""
    while True:
        place = file.tell()
        header = file.read(HEADER.size)
        stream, time, offset, size = (
            HEADER.unpack(header) if len(header) == HEADER.size else (0, 0.0, 0, 0)
        )
        data = file.read(size) if stream in (STDOUT, STDERR) else b""
        if not data or len(data) < size:
            file.seek(place)
            return
        yield Piece(stream, time, offset, data)
