"""A page of memory that a supervisor and one realizer share, so that neither waits for the other.

The realizer writes which job it is at and since when; the supervisor reads it to enforce limits
and, after a crash, to know which job was running. The supervisor writes which jobs it takes
back; the realizer looks before it starts each. Jobs are known here by the sequence number in
which they were handed over.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

SIZE = mmap.PAGESIZE
AT, SINCE, REVOKED, LAST = 0, 1, 2, 3
"""The job at hand, when it began, what is taken back; and the last job, once it has ended."""
IDLE, BETWEEN = 0, -1
"""At no job: with nothing to do, and with a note to write, which no job's limit shall bear."""


class SharedPage:
    """One side's view of the page."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, SIZE)
        self.words = memoryview(self._memory).cast("q")
        """Eight bytes each, so that no reader sees half a number."""

    @classmethod
    def new(cls) -> SharedPage:
        """A fresh page, in a file without a name."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("prokerja-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            import tempfile

            descriptor, path = tempfile.mkstemp(prefix="prokerja-board-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, SIZE)
            if sys.platform == "linux":  # or a realizer could take the page from under our feet
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            return cls(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def running(self) -> tuple[int, int]:
        """Sequence number of the job at hand (IDLE for none), and the monotonic ns it began."""
        # `since` is written first, so a number that stays the same goes with the right time.
        at = self.words[AT]
        since = self.words[SINCE]
        return (at, since) if at == self.words[AT] else self.running()

    def last_begun(self) -> int:
        """Sequence number of the last job that was begun, ended or not; 0 for none."""
        at = self.words[AT]
        return at if at > 0 else self.words[LAST]

    def revoke(self, first: int, last: int) -> None:
        """Forbid the realizer to start the jobs from `first` to `last`.

        Holds for certain once a moment has passed and the realizer is seen to be at an earlier
        job: it announces a job before it looks, so each side sees at least one of the writes.
        """
        self.words[REVOKED] = first << 32 | last

    def allow(self) -> None:
        """Lift the ban."""
        self.words[REVOKED] = 0

    def close(self) -> None:
        """Let the page go."""
        self.words.release()
        self._memory.close()
        os.close(self.descriptor)


def revoked(word: int, sequence: int) -> bool:
    """Whether a word written by `revoke` forbids this job."""
    return word >> 32 <= sequence <= word & 0xFFFFFFFF
