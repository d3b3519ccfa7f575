"""Whether this package is still what this process has loaded of it.

A realizer is a new process, and loads the package anew. Where that has changed in between, neither
would understand the other.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import prokerja
from prokerja.exit_codes import NEW_CODE
from prokerja.file_stamps import stamp, stamp_since

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.file_stamps import Stamp
    from prokerja.worker.duties.signals import StopRequests

LOADED_AT = time.time()
"""When this process has loaded the package, in seconds since the epoch."""
PLACE = os.path.dirname(os.path.abspath(prokerja.__file__))
SUFFIXES = (".py", ".sql")
"""Of the files that matter."""


class OwnCode:
    """The files of the package, as they are when this is made."""

    def __init__(self, requests: StopRequests) -> None:
        """It asks the worker to finish what runs, and leave, once they have changed."""
        self._requests = requests
        self._stamps = {path: stamp_since(path, LOADED_AT) for path in _files()}

    def is_current(self) -> bool:
        """Whether they are the same still; else the worker is asked to leave."""
        try:
            changed = self.changed()
        except OSError:  # without a descriptor to look, nothing can be said
            return True
        if not changed:
            return True
        self._requests.request("prokerja itself has changed", NEW_CODE, patient=True)
        return False

    def changed(self) -> list[str]:
        """The files that are new, changed or gone; raises OSError if one cannot look."""
        now: dict[str, Stamp] = {path: stamp(path) for path in _files()}
        return sorted({path for path, _ in now.items() ^ self._stamps.items()})


def folders() -> list[str]:
    """Those of the package."""
    return [folder for folder, _ in _walk()]


def _files() -> Iterator[str]:
    for folder, names in _walk():
        yield from (os.path.join(folder, name) for name in names if name.endswith(SUFFIXES))


def _walk() -> Iterator[tuple[str, list[str]]]:
    waiting = [PLACE]
    while waiting:
        folder = waiting.pop()
        names = []
        with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    names.append(entry.name)
                elif entry.name != "__pycache__":
                    waiting.append(entry.path)
        yield folder, names
