"""Locks that tell the living from the dead: the kernel drops them when their holders die.

`flock` on a file of its own. Never on the database file: there, closing a descriptor
would drop SQLite's own locks.
"""

from __future__ import annotations

import fcntl
import os


def hold(path: str) -> int:
    """Take the lock and empty its file; who inherits the returned descriptor holds it, too.

    It is free again when the last of them has closed it, or died.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    return descriptor


def held(path: str) -> bool:
    """Whether anybody holds the lock; many may look at once."""
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False
