"""systemd's journal, which takes the levels of lines from their beginnings."""

from __future__ import annotations

import contextlib
import os

JOURNAL = "JOURNAL_STREAM"
"""The variable that says which file is the journal: its device and inode."""
ERROR, WARNING, INFO = 3, 4, 6
"""Levels, as syslog numbers them."""


def on_journal(descriptor: int = 2) -> bool:
    """Whether the journal is what a descriptor writes to."""
    named = os.environ.get(JOURNAL)
    if named:
        with contextlib.suppress(OSError):
            found = os.fstat(descriptor)
            return named == f"{found.st_dev}:{found.st_ino}"
    return False


def mark(level: int) -> str:
    """What a line of that level begins with."""
    return f"<{level}>"
