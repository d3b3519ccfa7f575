"""What the system has run out of, in words, with where there is more of it."""

from __future__ import annotations

import errno
import resource


def in_words(error: OSError) -> str:
    """What is missing, and what to raise; empty if nothing is, but something else is wrong."""
    if error.errno == errno.EMFILE:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"this process has no file descriptor left (its limit is {soft:,});"
            " raise it with `ulimit -n` or LimitNOFILE="
        )
    if error.errno == errno.ENFILE:
        return "the system has no file descriptor left; raise fs.file-max"
    if error.errno == errno.ENOMEM:
        return "the system has no memory left; free some, or raise MemoryMax="
    return ""


def of_process(error: OSError) -> str:
    """Why a process could not be started, whatever the reason."""
    if error.errno == errno.EAGAIN:
        return "no further process may be started; raise `ulimit -u` or TasksMax="
    where = f"{error.filename}: " if error.filename else ""
    return in_words(error) or f"{where}{error.strerror or error}"


def of_watch(error: OSError) -> str:
    """Why inotify cannot watch a file."""
    if error.errno == errno.EMFILE:
        return "no inotify instance is left; raise fs.inotify.max_user_instances or `ulimit -n`"
    if error.errno == errno.ENOSPC:
        return "no inotify watch is left; raise fs.inotify.max_user_watches"
    return in_words(error) or str(error.strerror or error)
