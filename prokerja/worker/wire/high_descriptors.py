"""Descriptors by numbers that a job that closes what is not its own hardly reaches."""

from __future__ import annotations

import fcntl
import os

HIGH_DESCRIPTOR = 200
"""One that a process with few files does not reach."""


def duplicate_high(descriptor: int) -> int:
    """The same file once more, by a high number if the system allows one; for this process only.

    What is written to it must not end up in a file that the job has opened instead.
    """
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    except OSError:  # few numbers are allowed
        return os.dup(descriptor)
