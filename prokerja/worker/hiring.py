"""When to start the next realizer: at once, unless they die while they load the jobs."""

from __future__ import annotations

import time

from prokerja.errors import CatalogError

SLOWEST_START = 30.0
"""Seconds: the longest pause before another try."""


class Hiring:
    """What a crew remembers of its false starts."""

    def __init__(self) -> None:
        self._false_starts = 0
        self.at = 0.0
        """When to start the next one, in monotonic seconds."""

    def succeeded(self) -> None:
        """A realizer has loaded the jobs."""
        self._false_starts = 0

    def failed(self, how: str, *, first: bool) -> None:
        """A realizer has died while it loaded them; raises CatalogError if it was the `first`."""
        if first and not self._false_starts:
            raise CatalogError(f"no realizer can load the jobs: {how}; `prokerja jobs` tells more")
        self._false_starts += 1
        self.at = time.monotonic() + min(2.0**self._false_starts, SLOWEST_START)
