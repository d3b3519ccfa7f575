"""Locks that tell the living from the dead: the kernel drops them when their holders die.

`flock` on a small file of its own. Never on the database file: there, closing a descriptor
would drop SQLite's own locks.
"""

from __future__ import annotations

import errno
import fcntl
import os


def hold(path: str) -> int:
    """Take a share in the lock, until the returned descriptor or its last holder is gone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def held(path: str) -> bool:
    """Whether anybody holds a share in the lock."""
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise
        return True
    finally:
        os.close(probe)
    return False
