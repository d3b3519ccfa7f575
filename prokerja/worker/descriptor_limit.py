"""How many files a worker may have open: enough for its realizers, or it does not start.

The limit is on the numbers of descriptors, and a soft one may be raised up to the hard one. What it
was stands for realizers: programs that go through all numbers, or use `select`, rely on it.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress

from prokerja.errors import BadOption

OWN, EACH = 24, 9
"""Descriptors of a supervisor and of each realizer there, with those that it has for a moment."""
FILES = resource.RLIMIT_NOFILE


class DescriptorLimit:
    """Raises the soft limit if it has to; raises BadOption where the hard one is too low."""

    def __init__(self, realizers: int, concurrency: int) -> None:
        self._usual = soft, hard = resource.getrlimit(FILES)
        needed = _open(soft) + OWN + EACH * realizers
        wanted = needed + realizers * (concurrency - 1)  # for what jobs print
        if needed > _number(hard):
            raise BadOption(
                f"realizers: {realizers} need {needed} file descriptors, and this process may have"
                f" {hard}; raise that (LimitNOFILE= in a unit, `ulimit -n` in a shell) or give"
                " fewer"
            )
        self.is_raised = wanted > _number(soft)
        """Whether the limit is not the usual one."""
        if self.is_raised:
            resource.setrlimit(FILES, (min(wanted, int(_number(hard))), hard))

    def keep_from(self, pid: int) -> None:
        """Have a process that was started just now, and all that it will start, keep the usual."""
        if self.is_raised and sys.platform == "linux":
            with suppress(OSError):  # it has ended
                resource.prlimit(pid, FILES, self._usual)

    def restore(self) -> None:
        """Have the usual one again."""
        if self.is_raised:
            resource.setrlimit(FILES, self._usual)


def _open(limit: int) -> int:
    """How many are open; all, if there is none left to look."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return limit


def _number(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit
