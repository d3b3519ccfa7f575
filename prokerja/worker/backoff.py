"""How long to wait after a failure before another try."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from prokerja.errors import Busy, TryAgain
from prokerja.events import Event, StoreTroubled

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_BUSY_SECONDS = 30.0
"""For which others may keep the store locked before it is worth a line."""
BUSY_SECONDS = 0.001
REFUSED_SECONDS = 1.0


class Backoff:
    """Doubles with each failure in a row, from 2 s to `longest` seconds."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._failures = 0

    def failed(self) -> float:
        """One more failure; returns for how many seconds to wait."""
        self._failures += 1
        return min(2.0**self._failures, self._longest)

    def reset(self) -> None:
        """It went well."""
        self._failures = 0


class StoreBackoff:
    """For a store that refuses a turn; `tell` hears of what is worth a line."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._busy_since: float | None = None

    def failed(self, error: TryAgain) -> float:
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
