"""A time of day that can be put forward and back, for the processes that were given it."""

from __future__ import annotations

import mmap
import os
import struct

from tests.crash.shim import compiled


class Clock:
    """Changing it takes effect at once, in every process."""

    def __init__(self, folder: str) -> None:
        path = os.path.join(folder, "clock")
        with open(path, "wb+") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.library = compiled("clock")
        """What they are to have preloaded."""
        self.environment = {"PROKERJA_CLOCK": path}

    def put(self, seconds: float) -> None:
        """From now on it is so many seconds later than it is; earlier, if below zero."""
        struct.pack_into("<q", self._page, 0, int(seconds * 1e6))
