"""What a recorded process did to its files, and when it said what."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import Any, NamedTuple

from tests.crash.shim import compiled
from tests.crash.workload import NOTES

HEAD = struct.Struct("<IIQQ")
WITH_BYTES = "wr"


class Event(NamedTuple):
    """One call that succeeded."""

    kind: str
    """w(rite), t(runcate), s(ync), c(reate), d(elete), m(ake a directory), r(ename), n(ote)."""
    path: str
    """Below the recorded directory; empty for that directory itself."""
    offset: int
    """Of a write; of a truncation, the new size."""
    bytes: bytes
    """Of a write; of a renaming, the new name."""

    @property
    def note(self) -> Any:
        """What the workload said here."""
        return json.loads(self.bytes)

    def __str__(self) -> str:
        span = f"{self.offset}+{len(self.bytes)}" if self.bytes else f"{self.offset}"
        return f"{self.kind} {self.path or '.'} {span}"


def record(folder: str, seed: int, steps: int, synchronous: str) -> list[Event]:
    """Let the workload live in `folder`; returns all it did that a disk would see."""
    root, log = os.path.join(folder, "root"), os.path.join(folder, "log")
    os.mkdir(root)
    subprocess.run(
        [sys.executable, "-m", "tests.crash.workload", root, str(seed), str(steps), synchronous],
        env={
            **os.environ,
            "LD_PRELOAD": compiled("recorder"),
            "PROKERJA_RECORD": log,
            "PROKERJA_RECORD_ROOT": root,
        },
        check=True,
    )
    with open(log, "rb") as file:
        return events(file.read())


def events(log: bytes) -> list[Event]:
    """The records of one log; shared memory is none, since no disk keeps it."""
    found = []
    position = 0
    while position < len(log):
        kind, path_size, offset, size = HEAD.unpack_from(log, position)
        position += HEAD.size
        path = log[position : position + path_size].decode()
        position += path_size
        carried = size if chr(kind) in WITH_BYTES else 0
        event = Event(chr(kind), path, offset, log[position : position + carried])
        position += carried
        if path == NOTES:
            event = event._replace(kind="n")
        if not path.endswith("-shm") and (path != NOTES or event.bytes):
            found.append(event)
    return found
