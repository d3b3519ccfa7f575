"""Whether there is room for more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja import repository
from prokerja.model.check import failed, ok, warning
from prokerja.sizes import human
from prokerja.worker.service import disk_floor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.check import Check

LOW_BYTES = 512 * 2**20


def check_disk(url: str, floor: int | None = None, low: int = LOW_BYTES) -> Iterator[Check]:
    """Look at the free space around a store; `floor` and `low` are bytes of it."""
    if not repository.is_path(url):
        return
    folder = os.path.dirname(os.path.realpath(url))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        facts = os.statvfs(folder)
    except OSError as error:
        yield failed("disk", f"{folder}: {error.strerror}", "check its permissions and its disk")
        return
    free = facts.f_bavail * facts.f_frsize
    floor = disk_floor(facts.f_blocks * facts.f_frsize, floor)
    what = f"{human(free)} free at {folder}"
    more = "make room: `prokerja purge` and old backups are a beginning"
    if facts.f_files and not facts.f_favail:
        yield failed("disk", f"no file can be made at {folder}: no inode is free", "delete files")
    elif free < floor:
        yield failed("disk", f"{what}; workers want {human(floor)}", more)
    elif free < low:
        yield warning("disk", what, more)
    else:
        yield ok("disk", what)
