"""Whose code root runs: none that another user could have written."""

from __future__ import annotations

import os
import stat
from pathlib import PurePath
from typing import TYPE_CHECKING

from prokerja.catalog.files import LISTENERS, scan
from prokerja.errors import CatalogError
from prokerja.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOW = "PROKERJA_ALLOW_FOREIGN_JOBS"
"""Set it to have root run them all the same."""


def refuse_foreign(directory: str) -> None:
    """Raise CatalogError if we are root, and another user may write to any of the job files.

    That is, to a file, to a folder of theirs, or to one above, by whatever link they are reached.
    """
    if os.geteuid() != 0 or os.environ.get(ALLOW):
        return
    for path in dict.fromkeys(_all_that_matters(os.path.abspath(directory))):
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            continue  # what it names is looked at, and the folder it lies in
        others = stat.S_IWOTH | (stat.S_IWGRP if facts.st_gid else 0)  # root's group is root
        writable = facts.st_mode & others
        if writable and stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX:
            writable = 0  # others may add to it, and change nothing that is there
        if facts.st_uid != 0 or writable:
            raise CatalogError(
                f"{escaped(path)} belongs to uid {facts.st_uid}, gid {facts.st_gid}, mode"
                f" {stat.S_IMODE(facts.st_mode):04o}, so root runs no jobs from there; give it to"
                f" root and let only root write it, or set {ALLOW}=1"
            )


def _all_that_matters(directory: str) -> Iterator[str]:
    listeners = os.path.join(directory, LISTENERS)
    others = [listeners] if os.path.exists(listeners) else []
    for path in (directory, *others, *scan(directory)):
        for way in (path, os.path.realpath(path)):
            yield from map(str, (PurePath(way), *PurePath(way).parents))
