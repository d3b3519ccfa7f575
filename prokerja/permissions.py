"""Who may use what stands beside the queue: whoever may use the queue."""

from __future__ import annotations

import contextlib
import os
import stat


def share(descriptor: int, like: str) -> None:
    """Give a file or directory the owner (if we are root), the group and the mode of a file.

    Who may read that may also enter a directory.
    """
    wanted = os.stat(like)
    owner = wanted.st_uid if os.geteuid() == 0 else -1
    with contextlib.suppress(OSError):  # only members can give a file to a group
        os.fchown(descriptor, owner, wanted.st_gid)
    given = os.fstat(descriptor)
    mode = stat.S_IMODE(wanted.st_mode) & 0o666
    if given.st_gid != wanted.st_gid:
        mode &= ~stat.S_IRWXG
    if stat.S_ISDIR(given.st_mode):
        mode |= (mode & 0o444) >> 2
    with contextlib.suppress(OSError):  # not ours, but of another user who shares the queue
        os.fchmod(descriptor, mode)
