"""Turns that the store refuses, and when to ask for the next.

The waits do not grow: nobody keeps an order among those who wait for a lock, and what takes longer,
such as a full disk, is to be noticed soon after it has passed.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy, TryAgain
from prokerja.worker_events import Event, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_BUSY_SECONDS = 30.0
"""For which others may keep the store locked before it is worth a line."""
BUSY_SECONDS = 0.001
REFUSED_SECONDS = 1.0


class Refusals:
    """`tell` hears of what is worth a line."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._busy_since: float | None = None

    def pause(self, error: TryAgain) -> float:
        """A turn was refused; returns for how many seconds to wait."""
        if isinstance(error, Busy):
            now = time.monotonic()
            self._busy_since = self._busy_since or now
            if now - self._busy_since < TELL_BUSY_SECONDS:
                return BUSY_SECONDS * (0.5 + random.random())
            self._busy_since = now
        self._tell(StoreTroubled(str(error)))
        return REFUSED_SECONDS

    def reset(self) -> None:
        """A turn went well."""
        self._busy_since = None
