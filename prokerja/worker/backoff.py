"""A store that refuses a turn for the moment: how long to wait, and when to speak of it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy, TryAgain
from prokerja.events import Event, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0
"""Seconds for which others may keep the store locked before it is worth a line."""
RETRY = 0.001
PAUSE = 1.0
"""Seconds before a turn that the store refused is tried again."""


class StoreBackoff:
    """What a worker remembers of it from one turn to the next."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._busy_since: float | None = None

    def over(self) -> None:
        """A turn went well."""
        self._busy_since = None

    def pause(self, error: TryAgain) -> float:
        """How long to wait before the turn is tried again, in seconds."""
        if isinstance(error, Busy):
            now = time.monotonic()
            self._busy_since = self._busy_since or now
            if now - self._busy_since < PATIENCE:
                return RETRY * (0.5 + random.random())
            self._busy_since = now
        self._tell(StoreTroubled(str(error)))
        return PAUSE
