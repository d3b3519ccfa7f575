"""The plan of a failing disk, which `faults.c` follows in every process that was given it."""

from __future__ import annotations

import mmap
import os
import struct

from tests.crash.shim import compiled

LAYOUT = struct.Struct("<IIIIQQ")
MILLION = 1_000_000


class Plan:
    """One disk's faults; changing them takes effect at once, in every process."""

    def __init__(self, folder: str, root: str, seed: int) -> None:
        path = os.path.join(folder, "plan")
        with open(path, "wb+") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._seed = seed
        self.environment = {
            "LD_PRELOAD": compiled("faults"),
            "PROKERJA_FAULT_ROOT": os.path.realpath(root),
            "PROKERJA_FAULT_PLAN": path,
        }
        """For the processes that are to follow it."""
        self.heal()

    @property
    def failed(self) -> int:
        """How many calls have failed so far."""
        failed: int = LAYOUT.unpack_from(self._page)[-1]
        return failed

    def fail(self, error: int, *, writes: float = 0.0, syncs: float = 0.0) -> None:
        """From now on this share of the calls fails with that error."""
        self._set(error, int(writes * MILLION), int(syncs * MILLION), 0)

    def slow(self, seconds: float) -> None:
        """From now on every call takes up to so long."""
        self._set(0, 0, 0, int(seconds * MILLION))

    def heal(self) -> None:
        """From now on all is well."""
        self._set(0, 0, 0, 0)

    def _set(self, error: int, writes: int, syncs: int, slowest: int) -> None:
        LAYOUT.pack_into(self._page, 0, error, writes, syncs, slowest, self._seed, self.failed)
