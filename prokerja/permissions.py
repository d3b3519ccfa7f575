"""Who may use what stands beside the queue: whoever may use the queue."""

from __future__ import annotations

import contextlib
import os
import stat


def share(descriptor: int, like: os.stat_result) -> None:
    """Give a file or directory the owner (if we are root), the group and the mode of a file.

    Who may read that may also enter a directory.
    """
    given = os.fstat(descriptor)
    owner = like.st_uid if os.geteuid() == 0 else given.st_uid
    group = given.st_gid
    if (owner, like.st_gid) != (given.st_uid, group):
        with contextlib.suppress(OSError):  # only members can give a file to a group
            os.fchown(descriptor, owner, like.st_gid)
            group = like.st_gid
    mode = stat.S_IMODE(like.st_mode) & 0o666
    if group != like.st_gid:
        mode &= ~stat.S_IRWXG
    if stat.S_ISDIR(given.st_mode):
        mode |= (mode & 0o444) >> 2 | stat.S_IMODE(given.st_mode) & stat.S_ISGID
    if mode != stat.S_IMODE(given.st_mode):
        with contextlib.suppress(OSError):  # not ours, but of another user who shares the queue
            os.fchmod(descriptor, mode)
