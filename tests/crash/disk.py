"""A disk that forgets: what was synced is there after a power cut, the rest may be."""

from __future__ import annotations

import os
from copy import copy
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import random

    from tests.crash.recording import Event

T = TypeVar("T")
SECTOR = 512
FATES = ("dropped", "kept", "prefix", "subset", "torn", "scrambled")
"""What may become of the writes that nobody has synced."""


class File:
    """One file's bytes as they were last synced, and what was done to it since."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Event] = []

    def sync(self) -> None:
        """All that was done is on the disk."""
        for event in self.pending:
            apply(event, self.synced)
        self.pending = []


class Disk:
    """Files and directories; a directory's entries are synced on their own."""

    def __init__(self) -> None:
        self.synced: dict[str, File | None] = {}
        """Entries that are on the disk; None for a directory."""
        self.now: dict[str, File | None] = {}
        """Entries as a running process sees them."""
        self.pending: list[tuple[Event, File | None]] = []
        """Entries made and removed since their directory was synced."""

    def do(self, event: Event) -> None:
        """Let it happen."""
        file = self.now.get(event.path)
        if event.kind == "s" and file is None:
            self._sync_directory(event.path)
        elif event.kind == "s" and file is not None:
            file.sync()
        elif event.kind in "wt" and file is not None:
            file.pending.append(event)
        elif event.kind in "cmdr":
            entry = File() if event.kind == "c" else file
            self.pending.append((event, entry))
            enter(event, entry, self.now)

    def after_cut(self, fate: str, chance: random.Random) -> dict[str, bytes | None]:
        """What is found when the power is back: bytes by path, None for a directory."""
        entries = copy(self.synced)
        for event, file in _surviving(self.pending, fate, chance):
            enter(event, file, entries)
        return {
            path: None if file is None else _bytes(file, fate, chance)
            for path, file in entries.items()
            if all(above in entries for above in _above(path))
        }

    def _sync_directory(self, path: str) -> None:
        later = []
        for event, file in self.pending:
            if os.path.dirname(event.path) == path:
                enter(event, file, self.synced)
            else:
                later.append((event, file))
        self.pending = later


def enter(event: Event, file: File | None, entries: dict[str, File | None]) -> None:
    """Make, remove or rename an entry."""
    if event.kind in "cm":
        entries[event.path] = file
    elif event.kind == "d":
        entries.pop(event.path, None)
    elif event.path in entries:
        entries[event.bytes.decode()] = entries.pop(event.path)


def apply(event: Event, into: bytearray) -> None:
    """Write or truncate."""
    if event.kind == "t":
        if event.offset < len(into):
            del into[event.offset :]
        _reach(into, event.offset)
    else:
        _reach(into, event.offset)
        into[event.offset : event.offset + len(event.bytes)] = event.bytes


def tear(event: Event, into: bytearray, chance: random.Random, *, scramble: bool) -> None:
    """Write some of its sectors; the others keep what they held, or hold nothing sensible."""
    if event.kind == "t":
        apply(event, into)
        return
    end = event.offset + len(event.bytes)
    for sector in range(event.offset // SECTOR, -(-end // SECTOR)):
        first, last = max(event.offset, sector * SECTOR), min(end, (sector + 1) * SECTOR)
        part = event.bytes[first - event.offset : last - event.offset]
        if chance.random() < 0.5:
            apply(event._replace(offset=first, bytes=part), into)
        elif scramble:
            apply(event._replace(offset=first, bytes=chance.randbytes(len(part))), into)


def _bytes(file: File, fate: str, chance: random.Random) -> bytes:
    found = bytearray(file.synced)
    last = len(file.pending) - 1
    for number, event in enumerate(_surviving(file.pending, fate, chance)):
        if fate == "torn" or (fate == "scrambled" and number == last):
            tear(event, found, chance, scramble=fate == "scrambled")
        else:
            apply(event, found)
    return bytes(found)


def _surviving(pending: list[T], fate: str, chance: random.Random) -> list[T]:
    if fate == "dropped":
        return []
    if fate == "prefix":
        return pending[: chance.randint(0, len(pending))]
    if fate in ("subset", "torn"):
        share = chance.random()
        return [each for each in pending if chance.random() < share]
    return pending


def _above(path: str) -> list[str]:
    parts = path.split(os.sep)
    return [os.sep.join(parts[:end]) for end in range(1, len(parts))]


def _reach(into: bytearray, size: int) -> None:
    if len(into) < size:
        into.extend(bytes(size - len(into)))
