"""The end of another process, as something to wait for."""

from __future__ import annotations

import contextlib
import os
import sys


def end_of(pid: int) -> int:
    """A descriptor that becomes readable when a child ends; -1 where there is no such thing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may not have it
            return os.pidfd_open(pid)
    return -1
