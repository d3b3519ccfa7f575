"""The Python files of a jobs directory."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import CatalogError
from prokerja.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

Stamp = str
"""What differs when a file's content may: its times of change, size and inode in one text.

Empty for a file that has changed a moment ago: it may change again within the same tick of the
clock, and nothing would tell. It is read again the next time.
"""
TICK_SECONDS = 0.05
"""A file system's clock is no coarser."""

LISTENERS = "listeners.py"
"""At the top of a jobs directory, it holds no jobs, but what is to be called with events."""
ADVICE = {
    errno.ENOENT: "create it, or name another with --jobs DIR",
    errno.ENOTDIR: "name the directory around it with --jobs DIR",
}


def scan(directory: str) -> dict[str, Stamp]:
    """Every job file below `directory`: sorted absolute paths and their stamps.

    That is every `.py` file but `LISTENERS` at the top. Links are followed, but no folder is read
    twice; `__pycache__` and what is hidden is skipped.
    Raises CatalogError for a folder that cannot be read and for a name that is not UTF-8.
    """
    root = os.path.abspath(directory)
    try:
        found = sorted(one for one in _files(root) if one[0] != os.path.join(root, LISTENERS))
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "let this user read it, or move it elsewhere")
        raise CatalogError(f"{escaped(error.filename)}: {error.strerror}; {advice}") from None
    except ValueError:
        raise CatalogError(f"{escaped(directory)}: no such directory; create one") from None
    for path, _ in found:
        if not _is_utf8(path):
            raise CatalogError(f"{escaped(path)}: a name that is not UTF-8; rename it")
    return dict(found)


def has_listeners(directory: str) -> bool:
    """Whether a jobs directory, if there is one, has that file."""
    return bool(directory) and os.path.isfile(os.path.join(directory, LISTENERS))


def folders(directory: str) -> list[str]:
    """The directories in which `scan` looks, as far as they can be read."""
    found = []
    with suppress(OSError):
        for path, _ in _folders(os.path.abspath(directory)):
            found.append(path)
    return found or [directory]


def _files(root: str) -> Iterator[tuple[str, Stamp]]:
    for _, entries in _folders(root):
        for entry in entries:
            if _kind(entry) == "file" and (status := _status(entry.path)):
                yield entry.path, _stamp(status)


def _folders(root: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each of them, by one way, and what is in it."""
    os.stat(root)
    waiting, seen = {"folder": [root], "link": list[str]()}, set[tuple[int, int]]()
    while paths := waiting["folder"] or waiting["link"]:  # a folder goes by its own name first
        folder = paths.pop()
        status = _status(folder)
        if status is None or (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        entries = _entries(folder)
        yield folder, entries
        for entry in entries:
            kind = _kind(entry)
            if kind in waiting:
                waiting[kind].append(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if not e.name.startswith(".") and e.name != "__pycache__"]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: entry.name)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
        return "file" if entry.name.endswith(".py") and entry.is_file() else "other"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "other"
        raise


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:  # removed since it was listed
        return None


def _stamp(status: os.stat_result) -> Stamp:
    if abs(time.time() - status.st_ctime) < TICK_SECONDS:
        return ""
    # Whoever puts the time of modification back cannot do so with that of the inode.
    return f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_size} {status.st_ino}"


def _is_utf8(path: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in path)
