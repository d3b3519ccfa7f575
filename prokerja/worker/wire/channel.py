"""One end of the line between supervisor and realizer: frames of msgpack, a length before each.

Decoding checks every type, so whatever a broken realizer writes is at worst a WireError.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from prokerja.worker.wire.messages import WireError

if TYPE_CHECKING:
    import socket

MAX_FRAME_BYTES = 256 * 2**20
"""More is invalid, or a realizer gone wild."""
READ_BYTES = 2**18
_HEADER = struct.Struct("<I")
T = TypeVar("T")


class Channel(Generic[T]):
    """One end of the line. `receives` is the type of frame the other side sends."""

    def __init__(self, connection: socket.socket, receives: type[T]) -> None:
        self.socket = connection
        self._decoder = msgspec.msgpack.Decoder(receives)
        self._encode = msgspec.msgpack.Encoder().encode
        self._piece = memoryview(bytearray(READ_BYTES))
        """What comes in goes here first: to make room for so much each time takes longer."""
        self._inbox = bytearray()
        self.outbox = bytearray()
        """What the other side has not taken yet."""

    def fileno(self) -> int:
        return self.socket.fileno()

    def post(self, message: msgspec.Struct) -> None:
        """Queue a frame and send what fits without waiting."""
        body = self._encode(message)
        self.outbox += _HEADER.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Send more of what is queued; a dead other side is noticed elsewhere."""
        try:
            while self.outbox:
                sent = self.socket.send(memoryview(self.outbox)[:READ_BYTES])
                del self.outbox[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.outbox.clear()

    def receive(self) -> list[T] | None:
        """The frames that have come in whole; None when the other side has hung up."""
        try:
            size = self.socket.recv_into(self._piece)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not size:
            return None
        self._inbox += self._piece[:size]
        return list(self._frames())

    def _frames(self) -> Any:
        position = 0
        try:
            while len(self._inbox) - position >= _HEADER.size:
                [size] = _HEADER.unpack_from(self._inbox, position)
                if size > MAX_FRAME_BYTES:
                    raise WireError(f"a frame of {size} bytes")
                end = position + _HEADER.size + size
                if len(self._inbox) < end:
                    break
                try:
                    yield self._decoder.decode(bytes(self._inbox[position + _HEADER.size : end]))
                except (ValueError, RecursionError) as error:
                    raise WireError(str(error)) from None
                position = end
        finally:
            del self._inbox[:position]
