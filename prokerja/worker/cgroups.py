"""The control group of this process, as far as it is about memory (Linux; version 1 and 2)."""

from __future__ import annotations

import contextlib
import os
from functools import cache

NO_LIMIT = 2**60
"""Version 1 has a number of that size for none."""


class Cgroup:
    """Its directory, and those above it up to where they are mounted."""

    def __init__(self, places: list[str], *, unified: bool) -> None:
        """`places` begin with its own; `unified` for version 2."""
        self.path = places[0]
        self._places = places
        self._unified = unified

    def free(self) -> int | None:
        """Bytes that may still be used in it; None without a limit."""
        found = [left for place in self._places if (left := self._left(place)) is not None]
        return min(found, default=None)

    @property
    def oom_file(self) -> str:
        """The file that tells how many processes of it the kernel has killed for memory."""
        name = "memory.events" if self._unified else "memory.oom_control"
        return os.path.join(self.path, name)

    def _left(self, place: str) -> int | None:
        """What is left of one limit: what is cached and not in use counts as free."""
        names = ("memory.max", "memory.high") if self._unified else ("memory.limit_in_bytes",)
        read = (_number(os.path.join(place, name)) for name in names)
        limits = [limit for limit in read if limit is not None and limit < NO_LIMIT]
        used = "memory.current" if self._unified else "memory.usage_in_bytes"
        held = _number(os.path.join(place, used)) if limits else None
        if held is None:
            return None
        cached = "inactive_file" if self._unified else "total_inactive_file"
        kept = _table(os.path.join(place, "memory.stat")).get(cached, 0)
        return max(min(limits) - held + kept, 0)


@cache
def own() -> Cgroup | None:
    """That of this process; None where there is none."""
    try:
        with (
            open("/proc/self/cgroup", "rb") as groups,
            open("/proc/self/mountinfo", "rb") as mounts,
        ):
            return found(os.fsdecode(groups.read()), os.fsdecode(mounts.read()))
    except OSError:
        return None


def found(groups: str, mounts: str) -> Cgroup | None:
    """What these two files of `/proc/self` tell."""
    paths = dict[str, str]()
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = path
    kind = "cgroup" if "cgroup" in paths else "cgroup2"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split(" ")[3:5]
        type, _, options = after.split(" ", 2)
        if type == kind and (kind == "cgroup2" or "memory" in options.split(",")):
            return _at(place, paths.get(kind, "/"), root, unified=kind == "cgroup2")
    return None


def _at(place: str, path: str, root: str, *, unified: bool) -> Cgroup | None:
    """The group of that path, where `root` is mounted at `place`."""
    inside = path.removeprefix(root.rstrip("/")) if path.startswith(root) else path
    full = os.path.normpath(f"{place}/{inside}")
    if not os.path.isdir(full):  # of a container that sees only its own
        full = place
    places = [full]
    while len(places[-1]) > len(place):
        places.append(os.path.dirname(places[-1]))
    if unified and not os.path.exists(os.path.join(full, "memory.current")):
        return None  # the root, or without that controller
    return Cgroup(places, unified=unified)


def _number(path: str) -> int | None:
    """The number that a file holds; None if it is not there, or holds a word."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        return int(file.read())
    return None


def _table(path: str) -> dict[str, int]:
    """The numbers that a file holds, by what stands before each."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        rows = (line.split() for line in file.read().decode().splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2}
    return {}
