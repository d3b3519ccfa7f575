"""Why we end a realizer, if we do."""

from __future__ import annotations

from enum import Enum, auto


class Ending(Enum):
    """The first reason stands."""

    CLOSED = auto()
    """It has nothing to do any more."""
    STOPPED = auto()
    """Its worker stops, and waits no longer."""
    CUT_SHORT = auto()
    """Its job has broken its time limit, or was cancelled."""
    FAULTY = auto()
    """It has broken the protocol, or hangs."""

    @property
    def is_orderly(self) -> bool:
        """Whether the job is not to blame for it."""
        return self in (Ending.CLOSED, Ending.STOPPED)
