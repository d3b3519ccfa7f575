"""Which packages are installed where this process imports from."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from prokerja.file_stamps import Stamp, stamp

FOLDERS = ("site-packages", "dist-packages")
METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")
"""What a package, or a link to one, has a file or directory of that is made anew with it."""
UNFINISHED = "~"
"""What pip puts before the name of what it is about to delete, until it has installed the other."""


def sites() -> list[str]:
    """The directories that hold packages."""
    places = [os.path.abspath(entry) for entry in sys.path]
    return [place for place in dict.fromkeys(places) if _is_site(place)]


def installed(places: list[str]) -> dict[str, Stamp]:
    """What there is of packages there, by path, and the stamp of each; may raise OSError."""
    found = (os.path.join(place, name) for place in places for name in _names(place))
    wanted = (path for path in found if path.endswith(METADATA))
    return {path: stamp(path) for path in wanted if not _is_unfinished(path)}


def unfinished(places: list[str]) -> set[str]:
    """What is about to be deleted."""
    found = (os.path.join(place, name) for place in places for name in _names(place))
    return set(filter(_is_unfinished, found))


def _is_unfinished(path: str) -> bool:
    return os.path.basename(path).startswith(UNFINISHED)


def _is_site(place: str) -> bool:
    if os.path.basename(place) in FOLDERS:
        return os.path.isdir(place)
    return any(name.endswith(".dist-info") for name in _names(place))


def _names(place: str) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        return os.listdir(place)
    return []
