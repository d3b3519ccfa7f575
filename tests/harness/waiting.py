"""How to wait for what happens elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds for what happens soon, but on a busy machine."""
SOON = 2.0
"""Seconds for what is promised within one."""


def wait_until(condition: Callable[[], T], limit: float = PATIENCE) -> T:
    """What `condition` gives as soon as that is true; fails when it is not within the limit."""
    give_up = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {limit:g} s; it is still {value!r}")
        time.sleep(0.005)
    return value
