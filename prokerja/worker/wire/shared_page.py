"""A page of memory that a supervisor and one realizer share, so that neither waits for the other.

The realizer writes which job it is running and since when; the supervisor reads it to enforce
limits and, after a crash, to know which job was running. The supervisor writes which jobs it
takes back; the realizer looks before it starts each. Jobs are known here by the sequence number
in which they were sent.

A realizer that runs several jobs at once has a slot for each of them. Its RUNNING is the one that
has the interpreter just now, and SINCE when it was given it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

PAGE_BYTES = mmap.PAGESIZE
RUNNING, SINCE, REVOKED, LAST, KEPT = 0, 1, 2, 3, 4
"""The job that runs, when it began, what is taken back; the last job, once it has ended; and how
many of the steps that the realizer has sent are dealt with."""
MARK, OLD_PEAK, PEAK, SPENT, OOM_KILLS = 5, 6, 7, 8, 9
"""Of what the realizer and its children have used: the processor time, in ns, when the job began,
and the peak of children that had ended by then, in bytes; once it is dead, both again; and how many
processes the kernel had killed for memory when the job began."""
FIRST_SLOT, CELLS_PER_SLOT = 16, 2
"""Where the slots begin: the sequence number of a job in each, and the monotonic ns it began."""
CELL_BYTES = 8
IDLE, JOURNALLING = 0, -1
"""No job runs: there is none, or the journal is being written, which no job's limit includes."""


class SharedPage:
    """One side's view of the page."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self.cells = memoryview(self._memory).cast("q")
        """Eight bytes each, so that no reader sees half a number."""

    @classmethod
    def new(cls, slots: int = 0) -> SharedPage:
        """A fresh page, in a file without a name; of several pages, if it needs that many slots."""
        bytes_needed = (FIRST_SLOT + CELLS_PER_SLOT * slots) * CELL_BYTES
        size = -(-bytes_needed // PAGE_BYTES) * PAGE_BYTES
        if sys.platform == "linux":
            descriptor = os.memfd_create("prokerja-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            import tempfile

            descriptor, path = tempfile.mkstemp(prefix="prokerja-page-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, size)
            if sys.platform == "linux":  # or a realizer could take the page from under our feet
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            return cls(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def running(self) -> tuple[int, int]:
        """The sequence number of the job that runs (IDLE for none), and the monotonic ns it began.

        JOURNALLING between two jobs.
        """
        # `since` is written first, so a number that stays the same goes with the right time.
        running = self.cells[RUNNING]
        since = self.cells[SINCE]
        return (running, since) if running == self.cells[RUNNING] else self.running()

    def last_begun(self) -> int:
        """Sequence number of the last job that was begun, ended or not; 0 for none."""
        running = self.cells[RUNNING]
        return running if running > 0 else self.cells[LAST]

    def slots(self, count: int) -> list[tuple[int, int]]:
        """The jobs in the first `count` slots: sequence number and monotonic ns it began."""
        cells = self.cells[FIRST_SLOT : FIRST_SLOT + CELLS_PER_SLOT * count].tolist()
        both = zip(cells[::CELLS_PER_SLOT], cells[1::CELLS_PER_SLOT], strict=True)
        return [(sequence, since) for sequence, since in both if sequence > IDLE]

    def enter(self, slot: int, sequence: int, since: int) -> None:
        """A job runs there from now on, unless it is revoked: look at that afterwards."""
        at = FIRST_SLOT + CELLS_PER_SLOT * slot
        self.cells[at + 1] = since
        self.cells[at] = sequence
        self.cells[LAST] = sequence

    def restart(self, slot: int, since: int) -> None:
        """The job there counts as having begun then."""
        self.cells[FIRST_SLOT + CELLS_PER_SLOT * slot + 1] = since

    def leave(self, slot: int) -> None:
        """No job runs there any more."""
        self.cells[FIRST_SLOT + CELLS_PER_SLOT * slot] = IDLE

    def revoke(self, first: int, last: int) -> None:
        """Forbid the realizer to start the jobs from `first` to `last`.

        Holds for certain once a moment has passed and the realizer is seen to be at an earlier
        job: it announces a job before it looks, so each side sees at least one of the writes.
        """
        self.cells[REVOKED] = first << 32 | last

    def allow(self) -> None:
        """Lift the ban."""
        self.cells[REVOKED] = 0

    def confirm_step(self) -> None:
        """One more of its steps is on the disk."""
        self.cells[KEPT] += 1

    def used(self) -> tuple[int, int]:
        """Of a dead realizer: its job's peak in bytes and its processor time in ns; 0 if unknown.

        The peak of an earlier job's children cannot be told from a lower one of this job's.
        """
        mark, old_peak, peak, spent = self.cells[MARK : SPENT + 1].tolist()
        return (peak if peak > old_peak else 0), max(spent - mark, 0)

    def close(self) -> None:
        """Let the page go."""
        self.cells.release()
        self._memory.close()
        os.close(self.descriptor)


def revoked(cell: int, sequence: int) -> bool:
    """Whether a cell written by `revoke` forbids this job."""
    return cell >> 32 <= sequence <= cell & 0xFFFFFFFF
