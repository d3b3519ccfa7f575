"""What realizers have done, noted where it outlives them: in their worker's lock file.

Results reach the store within about 20 ms, and a kill -9 would take with it what has not. So
a realizer notes how each job ended in a ring of its own, and whoever finds it dead, be it its
supervisor or another worker, reads them there and settles those jobs instead of repeating them.

Notes are for processes that die, not for machines: nothing here is synced. They are a favour,
not a promise: there are none without a file, on a full disk, or of a result that is larger than
a ring, and a ring keeps the newest. Nor has anybody to believe them: a note settles nothing but
what the claim it names still holds.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from prokerja.worker.wire.messages import Done, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

RING = 2**18
"""Bytes for each realizer: several times what one has in hand, unless results are long."""
MARK = b"note"
_HEADER = struct.Struct("<4sII")
"""The mark, and length and checksum of what follows: old notes lie torn between new ones."""

Claim = tuple[int, int]
"""The claim's token and the declaration's id."""


class Note(msgspec.Struct, array_like=True):
    """What has ended since the last note."""

    completed: list[tuple[Claim, Done]] = []
    failed: list[tuple[Claim, Failure]] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Note).decode


class Journal:
    """A realizer's own ring, in the file that is open as `descriptor` (-1 for none)."""

    def __init__(self, descriptor: int, ring: int) -> None:
        self._descriptor = descriptor
        self._start = ring * RING
        self._at = 0
        self._note = Note()
        self.completed = self._note.completed.append
        self.failed = self._note.failed.append

    def write(self) -> None:
        """Note what has been added, where there is a file, and room for it."""
        note = self._note
        if self._descriptor >= 0 and (note.completed or note.failed):
            body = _encode(note)
            self._append(_HEADER.pack(MARK, len(body), crc32(body)) + body)
        note.completed.clear()
        note.failed.clear()

    def _append(self, frame: bytes) -> None:
        if len(frame) > RING:
            return
        if self._at + len(frame) > RING:
            self._at = 0
        try:
            os.pwrite(self._descriptor, frame, self._start + self._at)
        except OSError:
            return
        self._at += len(frame)


def read(descriptor: int, ring: int) -> dict[Claim, Done | Failure]:
    """What can be read of one ring, perhaps of several realizers that have used it in turn."""
    told: dict[Claim, Done | Failure] = {}
    with contextlib.suppress(OSError):
        for note in _notes(os.pread(descriptor, RING, ring * RING)):
            told.update(note.completed)
            told.update(note.failed)
    return told


def read_all(path: str, rings: int) -> dict[Claim, Done | Failure]:
    """What can be read of the first so many rings of a file that nobody writes to any more."""
    told: dict[Claim, Done | Failure] = {}
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        for ring in range(rings):
            told.update(read(descriptor, ring))
        os.close(descriptor)
    return told


def _notes(memory: bytes) -> Iterator[Note]:
    """Every whole note, until a ring has taken too long that is made to, or full of such words."""
    at, wasted = memory.find(MARK), 0
    while 0 <= at <= len(memory) - _HEADER.size and wasted < RING:
        _, size, checksum = _HEADER.unpack_from(memory, at)
        end = at + _HEADER.size + size
        body = memoryview(memory)[at + _HEADER.size : end]
        if len(body) == size and crc32(body) == checksum and (note := _read(body)):
            yield note
            at = memory.find(MARK, end)
        else:
            wasted += _HEADER.size + (size if len(body) == size else 0)
            at = memory.find(MARK, at + 1)


def _read(body: memoryview) -> Note | None:
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return None
