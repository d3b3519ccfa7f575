"""Declarations read to the end before the first is written: the store waits for no slow reader."""

from __future__ import annotations

import itertools
import marshal
from typing import TYPE_CHECKING, BinaryIO

from prokerja.errors import TryAgain
from prokerja.model import Declaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prokerja.model import Lane

CHUNK = 1000
"""Declarations held in memory at once; more of them wait in a temporary file."""


def spooled(declarations: Iterable[Declaration]) -> Iterator[Declaration]:
    """The same declarations, all of them read and checked when this returns.

    So a transaction that writes them lasts no longer than writing takes, however slowly they come.
    Raises what reading them raises, and TryAgain if the temporary file has no room.
    """
    chunks = _chunks(declarations)
    first = next(chunks, [])
    if len(first) < CHUNK:
        return iter(first)
    from tempfile import TemporaryFile, gettempdir

    file: BinaryIO = TemporaryFile()  # noqa: SIM115
    lanes: dict[Lane, int] = {}
    for chunk in itertools.chain([first], chunks):
        rows = [(lanes.setdefault(row[0], len(lanes)), *row[1:]) for row in chunk]
        try:
            written = marshal.dumps(rows)
            file.write(len(written).to_bytes(8, "little") + written)
            file.flush()
        except OSError as error:
            why = f"cannot keep what was read in {gettempdir()}: {error.strerror}"
            raise TryAgain(f"{why}; nothing was declared; make room and try again") from None
    file.seek(0)
    return _from(file, list(lanes))


def _from(file: BinaryIO, lanes: Sequence[Lane]) -> Iterator[Declaration]:
    with file:
        while size := int.from_bytes(file.read(8), "little"):
            rows = marshal.loads(file.read(size))  # noqa: S302  our own, from a nameless file
            for lane, *rest in rows:
                yield Declaration(lanes[lane], *rest)


def _chunks(declarations: Iterable[Declaration]) -> Iterator[list[Declaration]]:
    iterator = iter(declarations)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk
