"""A journal of results in the worker's lock file, which outlives the process that writes it.

Results reach the store within about 20 ms, and a kill -9 would take with it what has not. So
a realizer writes how each job ended to a ring of its own. Its supervisor, or another worker that
finds it dead, reads them there and settles those jobs instead of repeating them.

A worker that leaves while the store cannot be written to leaves there, too, in the ring behind
those of its realizers, what it could not write.

It is for processes that die, not for machines: nothing here is synced. It is a favour, not a
promise: there is none without a file, or for a result that is larger than a ring, and a ring keeps
the newest, on a full disk no more than it has room for already. Entries are never trusted: one
settles nothing but what the claim it names still holds.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from typing import TYPE_CHECKING
from zlib import crc32

from msgspec import msgpack

from prokerja.verdicts import Ended

if TYPE_CHECKING:
    from collections.abc import Iterator

RING_BYTES = 2**18
"""For each realizer: several times what one has in flight, unless results are long."""
RESERVED_BYTES = 2**14
"""Of each ring, the disk holds from the start on, for when it is full."""
MARK = b"note"
_HEADER = struct.Struct("<4sII")
"""The mark, and length and checksum of what follows: old entries lie torn between new ones."""

Claim = tuple[int, int]
"""The claim's token and the declaration's id."""
Entry = list[tuple[Claim, Ended]]
"""What has ended since the last entry."""

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Entry).decode


class Journal:
    """A realizer's own ring, in the file that is open as `descriptor` (-1 for none)."""

    def __init__(self, descriptor: int, ring: int) -> None:
        self._descriptor = descriptor
        self._start = ring * RING_BYTES
        self._at = 0
        self._entry: Entry = []
        self.add = self._entry.append

    def write(self) -> None:
        """Write down what has been added, where there is a file, and room for it."""
        entry = self._entry
        if entry:
            if self._descriptor >= 0:
                body = _encode(entry)
                self._append(_HEADER.pack(MARK, len(body), crc32(body)) + body)
            entry.clear()

    def _append(self, frame: bytes) -> None:
        if len(frame) > RING_BYTES:
            return
        if self._at + len(frame) > RING_BYTES:
            self._at = 0
        for at in (self._at, 0):  # on a full disk there is room where something stands already
            with contextlib.suppress(OSError):
                if os.pwrite(self._descriptor, frame, self._start + at) == len(frame):
                    self._at = at + len(frame)
                    return


def reserve(descriptor: int, rings: int) -> None:
    """Have the disk keep some room for the first `rings` rings, if it has any."""
    if sys.platform == "linux" and descriptor >= 0:
        with contextlib.suppress(OSError):
            for ring in range(rings):
                os.posix_fallocate(descriptor, ring * RING_BYTES, RESERVED_BYTES)


def read(descriptor: int, ring: int) -> dict[Claim, Ended]:
    """What can be read of one ring, perhaps of several realizers that have used it in turn."""
    found: dict[Claim, Ended] = {}
    with contextlib.suppress(OSError):
        for entry in _entries(os.pread(descriptor, RING_BYTES, ring * RING_BYTES)):
            found.update(entry)
    return found


def read_all(path: str, rings: int) -> dict[Claim, Ended]:
    """What can be read of the first `rings` rings of a file that is no longer written to."""
    found: dict[Claim, Ended] = {}
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        for ring in range(rings):
            found.update(read(descriptor, ring))
        os.close(descriptor)
    return found


def _entries(memory: bytes) -> Iterator[Entry]:
    """Every whole entry; gives up once a forged ring has cost as much as reading it whole."""
    at, wasted = memory.find(MARK), 0
    while 0 <= at <= len(memory) - _HEADER.size and wasted < RING_BYTES:
        _, size, checksum = _HEADER.unpack_from(memory, at)
        end = at + _HEADER.size + size
        body = memoryview(memory)[at + _HEADER.size : end]
        if len(body) == size and crc32(body) == checksum and (entry := _read(body)):
            yield entry
            at = memory.find(MARK, end)
        else:
            wasted += _HEADER.size + (size if len(body) == size else 0)
            at = memory.find(MARK, at + 1)


def _read(body: memoryview) -> Entry | None:
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return None
