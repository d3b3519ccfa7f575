"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from prokerja.errors import BadOption
from prokerja.text import quoted

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SIZE = r"(?ai)(\d{1,15})([KMG]?)(?:i?B)?"


def size(text: str, what: str) -> int:
    """Bytes in `0`, `64K`, `1M`, `1MiB` or `2G`; BadOption names `what` otherwise."""
    match = re.fullmatch(_SIZE, text.strip())
    if match is None:
        raise BadOption(f"{what}: {quoted(text)} is not a size; write 0, 64K, 1M or 2G")
    return int(match[1]) * UNITS[match[2].upper()]
