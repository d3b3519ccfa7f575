"""Turns that the store refuses, and when to ask for the next.

The waits do not grow: nobody keeps an order among those who wait for a lock, and what takes longer,
such as a full disk, is to be noticed soon after it has passed.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy, TryAgain
from prokerja.worker_events import StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker_events import Event

TELL_BUSY_SECONDS = 30.0
"""For which others may keep the store locked before it is worth a line."""
BUSY_SECONDS = 0.001
REFUSED_SECONDS = 1.0
TELL_AGAIN_SECONDS = 60.0
"""Before the same reason is worth another line."""


class Refusals:
    """`tell` hears of what is worth a line."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._busy_since: float | None = None
        self._told = ""
        self._told_at = 0.0

    def pause(self, error: TryAgain) -> float:
        """A turn was refused; returns for how many seconds to wait."""
        now, text = time.monotonic(), str(error)
        if isinstance(error, Busy):
            self._busy_since = self._busy_since or now
            if now - self._busy_since < TELL_BUSY_SECONDS:
                return BUSY_SECONDS * (0.5 + random.random())
            self._busy_since = now
        if text != self._told or now - self._told_at >= TELL_AGAIN_SECONDS:
            self._told, self._told_at = text, now
            self._tell(StoreTroubled(text))
        return REFUSED_SECONDS

    def reset(self) -> None:
        """A turn went well."""
        self._busy_since, self._told = None, ""
