"""What tells that a file has changed."""

from __future__ import annotations

import os
import time

Stamp = str
"""Differs when a file's content may: its time of modification, size and inode in one text."""
GONE: Stamp = ""
UNSURE: Stamp = "?"
"""Of a file that may have changed while it was read; equal to no other stamp of a file."""
TICK_SECONDS = 0.05
"""A file system's clock is no coarser."""


def stamp(path: str) -> Stamp:
    """The stamp of a file as it is now; GONE if there is none, or none that may be looked at."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return GONE
    return _of(facts)


def stamp_since(path: str, moment: float) -> Stamp:
    """The same of a file that was read after that moment, in seconds since the epoch.

    UNSURE if it has changed since then, GONE if there is none. What has changed in the future, by a
    clock that is wrong, counts as old.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return GONE
    changed = max(facts.st_mtime, facts.st_ctime)
    return UNSURE if moment - TICK_SECONDS <= changed <= time.time() + TICK_SECONDS else _of(facts)


def _of(facts: os.stat_result) -> Stamp:
    return f"{facts.st_mtime_ns} {facts.st_size} {facts.st_ino}"
