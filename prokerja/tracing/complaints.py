"""What goes wrong when spans are sent, said in one line, and seldom."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from prokerja.text import utf8

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = "opentelemetry"
EVERY_SECONDS = 60.0
MAX_CHARACTERS = 300


def _print(text: str) -> None:
    print(f"prokerja: {text}", file=sys.stderr)  # noqa: T201  there is no log but this


class Complaints(logging.Handler):
    """Hands on what OpenTelemetry logs of its troubles, one of them a minute."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.tell: Callable[[str], None] = _print
        self._said_at = -EVERY_SECONDS

    def listen(self) -> None:
        """Hear them, unless the program has a log that does."""
        logger = logging.getLogger(LOGGER)
        if not logger.hasHandlers():
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """One that is logged."""
        self.complain(f"OpenTelemetry: {record.getMessage()}")

    def complain(self, what: str) -> None:
        """Tell it, if none was told a moment ago."""
        now = time.monotonic()
        if now - self._said_at >= EVERY_SECONDS:
            self._said_at = now
            self.tell(f"tracing: {' '.join(utf8(what).split())[:MAX_CHARACTERS]}")
