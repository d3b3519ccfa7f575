"""Long work on many rows, done in transactions that never hold a worker up for long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE_ROWS = 500
"""Rows that one transaction takes: a few milliseconds."""


def in_slices() -> Iterator[None]:
    """Turns of a long job: after each, the file is left alone for as long as the turn took."""
    while True:
        began = time.monotonic()
        yield
        time.sleep(time.monotonic() - began)
