"""What a job class may set its options to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from prokerja.errors import CatalogError
from prokerja.text import brief, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

FIT = {
    "name": "1 to 255 printable characters",
    "queue": "1 to 255 printable characters",
    "priority": "a whole number from -1000 to 1000",
    "retries": "a whole number from 0 to 1000",
    "retry_after": "a number of seconds, 0 or more",
    "timeout": "a number of seconds above 0, or None",
}


def check(cls: str, values: Mapping[str, Any]) -> None:
    """Raise CatalogError if the class of that name sets an option to what it cannot be."""
    for key, value in values.items():
        if not _fits(key, value):
            raise CatalogError(f"{brief(cls)}.{key} is {shown(value)}; make it {FIT[key]}")


def is_name(text: str) -> bool:
    """Whether the store takes it as the name of a job or queue."""
    return 0 < len(text) <= 255 and text.isprintable()


def _fits(key: str, value: Any) -> bool:
    if key in ("name", "queue"):
        return isinstance(value, str) and is_name(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return key == "timeout" and value is None
    if key in ("priority", "retries"):
        return isinstance(value, int) and (-1000 if key == "priority" else 0) <= value <= 1000
    return 0 <= value <= sys.float_info.max and (value > 0 or key == "retry_after")
