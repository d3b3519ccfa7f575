"""Why we end a realizer, if we do."""

from __future__ import annotations

from enum import Enum, auto


class Ending(Enum):
    """The first reason stands."""

    CLOSED = auto()
    """It has nothing to do any more."""
    STOPPED = auto()
    """Its worker stops, and waits no longer."""
    TIMED_OUT = auto()
    """Its job has broken its time limit."""
    FAULTY = auto()
    """It has broken the protocol, or hangs."""

    @property
    def is_orderly(self) -> bool:
        """Whether the job is not to blame for it."""
        return self in (Ending.CLOSED, Ending.STOPPED)
