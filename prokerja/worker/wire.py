"""What supervisor and realizer say to each other: frames of msgpack, a length before each.

Decoding checks every type, so whatever a broken realizer writes is at worst a WireError.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec

from prokerja.spec import JobSpec

if TYPE_CHECKING:
    import socket

LARGEST = 256 * 2**20
"""Bytes of a frame; more is nonsense, or a realizer gone wild."""
PIECE = 2**18
_HEADER = struct.Struct("<I")
M = TypeVar("M")
Moment = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]
"""Seconds since the epoch, in a year that can be told."""


class WireError(Exception):
    """The other side wrote something that is no frame of ours."""


class Broken(msgspec.Struct, array_like=True):
    """A file of the jobs directory that could not be used."""

    file: str
    error: str


class Failure(msgspec.Struct, array_like=True):
    """A job that raised."""

    sequence: int
    started_at: Moment
    finished_at: Moment
    error: str
    traceback: str | None


class FollowUp(msgspec.Struct, array_like=True):
    """A declaration made by a job that has completed."""

    queue: str
    name: str
    priority: int
    payload: str
    due_at: float
    retries: int
    retry_after: float
    timeout: float | None
    directory: str = ""

    @property
    def terms(self) -> tuple[str, float, int, float, float | None]:
        """All but the lane."""
        return self.payload, self.due_at, self.retries, self.retry_after, self.timeout


Done = tuple[int, Moment, Moment, str | None, list[FollowUp]]
"""Sequence number, start, end, result as JSON, and what the job has declared."""


class Report(msgspec.Struct, array_like=True, omit_defaults=True):
    """Realizer to supervisor: what has come of its jobs since the last report."""

    completed: list[Done] = []
    failed: list[Failure] = []
    dropped: list[int] = []
    """Jobs it did not start, since they were taken back."""
    unknown: list[int] = []
    """Jobs it did not start, since it has no such class."""
    ready: bool = False
    """The first report of all: the jobs are loaded."""
    specs: list[JobSpec] = []
    broken: list[Broken] = []
    stamps: dict[str, str] = {}
    """Of the files of the jobs directory, from before they were imported."""
    loading: str = ""
    """The job file that is about to be imported."""
    pid: int = 0
    """The realizer's own, once it is ready."""
    spoiled: tuple[str, str] | None = None
    """The job that has changed its process for good, and what: it drops what it has in hand."""


class Work(msgspec.Struct, array_like=True):
    """Supervisor to realizer: jobs to do, numbered from `first` on."""

    first: int
    names: dict[int, str]
    """Job names by lane."""
    jobs: list[tuple[tuple[int, int], int, str]]
    """The claim's token with the declaration's id, lane, payload."""


class Channel(Generic[M]):
    """One end of the line. `receives` is the type of frame the other side sends."""

    def __init__(self, connection: socket.socket, receives: type[M]) -> None:
        self.socket = connection
        self._decoder = msgspec.msgpack.Decoder(receives)
        self._encode = msgspec.msgpack.Encoder().encode
        self._piece = memoryview(bytearray(PIECE))
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
                sent = self.socket.send(memoryview(self.outbox)[:PIECE])
                del self.outbox[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.outbox.clear()

    def receive(self) -> list[M] | None:
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
                if size > LARGEST:
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
