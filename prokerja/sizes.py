"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from prokerja.errors import BadOption
from prokerja.text import quoted

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SIZE = r"(?ai)(\d{1,15})([KMG]?)(?:i?B)?"


def human(bytes: int) -> str:
    """As people read it: `512 bytes`, `64 KB`, `3.1 GB`; a KB has 1,024 bytes, as in `size`."""
    if bytes < UNITS["K"]:
        return f"{bytes} bytes"
    unit = max((unit for unit in "KMG" if bytes >= UNITS[unit]), key=UNITS.__getitem__)
    return f"{f'{bytes / UNITS[unit]:,.1f}'.removesuffix('.0')} {unit}B"


def size(text: str, what: str) -> int:
    """Bytes in `0`, `64K`, `1M`, `1MiB` or `2G`; BadOption names `what` otherwise."""
    match = re.fullmatch(_SIZE, text.strip())
    if match is None:
        raise BadOption(f"{what}: {quoted(text)} is not a size; write 0, 64K, 1M or 2G")
    return int(match[1]) * UNITS[match[2].upper()]
