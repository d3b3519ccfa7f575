"""Names of files, which are bytes."""

from __future__ import annotations

import os


def portable(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """The path as text that means the same bytes in UTF-8, whatever this process's locale is.

    Bytes that are not UTF-8 become lone surrogates, as in `os.fsdecode`.
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")
