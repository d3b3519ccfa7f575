"""A file in which the kernel tells a number, kept open: to read it takes 2 us."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.worker.wire.high_descriptors import duplicate_high

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 2**14


class KernelFile:
    """Opened at the first look, and again should a job have closed it."""

    def __init__(self, path: str, parse: Callable[[bytes], int]) -> None:
        """`parse` raises ValueError or IndexError for what is not in such a file."""
        self._path = path
        self._parse = parse
        self._descriptor = -1

    def read(self) -> int:
        """The number that it holds now; 0 if there is no such file."""
        try:
            return self._parse(os.pread(self._descriptor, MAX_BYTES, 0))
        except (OSError, ValueError, IndexError):
            return self._read_anew()

    def _read_anew(self) -> int:
        try:
            low = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._descriptor = duplicate_high(low)  # what the old number stands for is not ours
            os.close(low)
            return self._parse(os.pread(self._descriptor, MAX_BYTES, 0))
        except (OSError, ValueError, IndexError):
            return 0
