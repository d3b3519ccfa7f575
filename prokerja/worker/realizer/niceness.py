"""How much a realizer leaves the processor to others."""

from __future__ import annotations

import os
from contextlib import suppress

AUTOGROUP = "/proc/self/autogroup"


def be_nice(more: int) -> None:
    """Add that much to the niceness of this process; raises OSError if that is not allowed."""
    os.nice(more)
    # Where the kernel groups processes by session, niceness counts within a session only, and this
    # process has one of its own: that group is to be nice. To lower the number takes root.
    with suppress(OSError), open(AUTOGROUP, "w", encoding="ascii") as group:
        group.write(str(os.getpriority(os.PRIO_PROCESS, 0)))
