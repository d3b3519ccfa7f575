"""Locks that tell the living from the dead: the kernel drops them when their holders die.

`flock` on a file of its own. Never on the database file: there, closing a descriptor
would drop SQLite's own locks.
"""

from __future__ import annotations

import fcntl
import os

from prokerja.errors import StoreError
from prokerja.permissions import share


def hold(path: str, like: str) -> int:
    """Take the lock and empty its file; who inherits the returned descriptor holds it, too.

    It is free again when the last of them has closed it, or died. Whoever may use the file `like`
    may use this one. Raises StoreError for a file in the way that belongs to another user.
    """
    try:
        descriptor = _open(path)
    except PermissionError:
        # Left by another user's worker of this number, of a queue that has been deleted since.
        try:
            os.unlink(path)
            descriptor = _open(path)
        except OSError as error:
            raise StoreError(f"{path} is in the way ({error.strerror}); remove it") from None
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    share(descriptor, os.stat(like))
    return descriptor


def held(path: str) -> bool:
    """Whether anybody holds the lock; many may look at once.

    Raises PermissionError if this user may not look; `listed` may tell.
    """
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


def listed(path: str) -> bool:
    """Whether the kernel's list of locks has it, where there is one, which anybody may read."""
    try:
        end = f":{os.stat(path).st_ino} "
        with open("/proc/locks", encoding="ascii") as file:
            return any("FLOCK" in line and end in line for line in file)
    except OSError:
        return False


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
