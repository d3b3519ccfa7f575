"""Which of the user's own files this process has loaded."""

from __future__ import annotations

import os
import sys
from traceback import walk_tb
from typing import TYPE_CHECKING

import prokerja
from prokerja.file_stamps import GONE, stamp_since

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from types import ModuleType

    from prokerja.file_stamps import Stamp

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of these names hold packages, which are somebody else's."""


class LoadedFiles:
    """Finds them among the modules of this process."""

    def __init__(self, places: Iterable[str]) -> None:
        """They are below these directories, and neither installed nor Python's own."""
        others = os.__file__, prokerja.__file__
        self._others = tuple(_folder(os.path.dirname(os.path.abspath(file))) for file in others)
        self._places = tuple(map(_folder, places))
        self._count = 0
        """How many modules there were at the last look."""
        self._seen: set[str] = set()

    @property
    def may_be_new(self) -> bool:
        """Whether anything was imported since the last look."""
        return len(sys.modules) != self._count

    def new(self, since: float) -> dict[str, Stamp]:
        """Those that were loaded since the last look, which was not before `since`, and stamps."""
        if not self.may_be_new:
            return {}
        self._count = len(sys.modules)
        found = set(filter(None, map(_file_of, sys.modules.copy().values()))) - self._seen
        self._seen |= found
        stamps = {path: stamp_since(path, since) for path in found if self._is_own(path)}
        return {path: one for path, one in stamps.items() if one != GONE}

    def of_faults(self, faults: Collection[BaseException], since: float) -> dict[str, Stamp]:
        """Those on which it may depend whether what has failed to load can be loaded."""
        found = {file for one in faults for file in _files_of(one)}
        found |= {file for one in faults for file in self._missing(one)}
        return {path: stamp_since(path, since) for path in found if self._is_own(path)}

    def _missing(self, error: BaseException) -> Iterator[str]:
        """Where a module that was not found could have been."""
        if isinstance(error, ModuleNotFoundError) and error.name:
            for place in self._places:
                path = place + error.name.replace(".", os.sep)
                yield from (f"{path}.py", os.path.join(path, "__init__.py"))

    def _is_own(self, path: str) -> bool:
        if not path.startswith(self._places) or path.startswith(self._others):
            return False
        return not INSTALLED.intersection(path.split(os.sep)) and _is_utf8(path)


def places_of(jobs: str, classes: Iterable[type]) -> list[str]:
    """The directory around that of the jobs, or those from which classes were imported."""
    if jobs:
        return [jobs, os.path.dirname(jobs)]
    modules = {cls.__module__: sys.modules[cls.__module__] for cls in classes}
    return [_top(name, file) for name, one in modules.items() if (file := _file_of(one))]


def _top(name: str, file: str) -> str:
    """Where one has to look for a module of that name to find that file."""
    levels = name.count(".") + (os.path.basename(file).startswith("__init__."))
    folder = os.path.dirname(file)
    for _ in range(levels):
        folder = os.path.dirname(folder)
    return folder


def _file_of(module: ModuleType) -> str:
    """The absolute path of the file of a module; empty if it has none."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return os.path.abspath(file) if isinstance(file, str) else ""


def _files_of(error: BaseException) -> Iterator[str]:
    """The files that an error has come through."""
    if isinstance(error, SyntaxError) and error.filename:
        yield os.path.abspath(error.filename)
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename[:1] != "<":
            yield os.path.abspath(frame.f_code.co_filename)


def _folder(path: str) -> str:
    return os.path.join(path, "")


def _is_utf8(path: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in path)
