"""Python files that have changed a moment ago: their bytecode is not kept.

Python takes the bytecode of a file for current if the file's size and its second of modification
are those of the file that it was made from. Of two versions of the same size from one second, it
would go on using the first.
"""

from __future__ import annotations

import os
import time
from importlib.machinery import SourceFileLoader
from importlib.util import source_from_cache

YOUNG_SECONDS = 2.0


def keep_no_bytecode() -> None:
    """From here on, in this process, write no bytecode for files that are that young."""
    write = SourceFileLoader.set_data

    def set_data(loader: SourceFileLoader, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        if not _is_young(path):
            write(loader, path, data, _mode=_mode)

    SourceFileLoader.set_data = set_data  # type: ignore[assignment, method-assign]


def _is_young(path: str) -> bool:
    try:
        changed = os.stat(source_from_cache(path)).st_mtime
    except (OSError, ValueError, NotImplementedError):
        return False
    return abs(time.time() - changed) < YOUNG_SECONDS
