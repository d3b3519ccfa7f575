"""Tells when any of some files may have changed, without looking at them again and again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from prokerja import shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from inotify_simple import INotify

POLL_SECONDS = 1.0
"""Between looks where the system does not tell."""


class Folder(NamedTuple):
    """A directory in which files may come and go."""

    path: str
    suffixes: tuple[str, ...]
    """Of the names of those that matter."""
    has_folders: bool = True
    """Whether directories in it matter, too."""


class FileWatch:
    """Files and folders in groups, by inotify; `fileno()` becomes readable.

    Elsewhere there is nothing to select on, and one has to look every `pace` seconds.
    """

    def __init__(self, on_shortage: Callable[[str], object]) -> None:
        """`on_shortage` is called with why it cannot see all, each time that this changes."""
        self._on_shortage = on_shortage
        self._inotify: INotify | None = None
        self._groups: dict[str, dict[int, list[Folder]]] = {}
        """By group and watch: the folders, none for a file."""
        self._shortage = ""
        self._short: dict[str, str] = {}
        """What the system is short of, by group."""
        if sys.platform == "linux":
            from inotify_simple import INotify

            try:
                self._inotify = INotify(nonblocking=True)
            except OSError as error:
                on_shortage(shortage.of_watch(error))

    @property
    def pace(self) -> float | None:
        """Seconds between looks; None if it will tell."""
        return POLL_SECONDS if self._inotify is None or any(self._short.values()) else None

    def fileno(self) -> int:
        """What to select on, or -1."""
        return -1 if self._inotify is None else self._inotify.fileno()

    def watch(self, group: str, files: Iterable[str], folders: Iterable[Folder]) -> None:
        """Watch these, and of that group nothing else.

        Of what is not there, the nearest directory is watched. Look at the files after this.
        """
        if self._inotify is None:
            return
        self._shortage = ""
        before = self._groups.get(group, {})
        now = self._groups[group] = defaultdict(list)
        seen: set[str] = set()
        for path in files:
            self._add_file(now, path, seen)
        for folder in folders:
            self._add_folder(now, folder, seen)
        if self._shortage and self._shortage not in self._short.values():
            self._on_shortage(self._shortage)
        self._short[group] = self._shortage
        others = set().union(*self._groups.values())
        for number in before.keys() - others:
            with contextlib.suppress(OSError):  # it has gone with its file
                self._inotify.rm_watch(number)

    def drain(self) -> set[str]:
        """Forget what has happened so far; returns the groups in which something has."""
        stirred: set[str] = set()
        while self._inotify is not None and (events := list(self._inotify.read(timeout=0))):
            for event in events:
                for group, watches in self._groups.items():
                    if event.wd == -1 or _matters(event, watches):
                        stirred.add(group)
        return stirred

    def close(self) -> None:
        """Watch no more."""
        if self._inotify is not None:
            self._inotify.close()

    def _add_file(self, watches: dict[int, list[Folder]], path: str, seen: set[str]) -> None:
        from inotify_simple import flags

        mask = flags.MODIFY | flags.CLOSE_WRITE | flags.ATTRIB
        number = self._add(path, mask | flags.DELETE_SELF | flags.MOVE_SELF)
        if number is None:
            self._add_ancestor(watches, path)
        else:
            watches[number]
        self._add_links(watches, path, seen)

    def _add_folder(self, watches: dict[int, list[Folder]], folder: Folder, seen: set[str]) -> None:
        from inotify_simple import flags

        mask = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.CLOSE_WRITE
        mask |= flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF
        number = self._add(folder.path, mask | flags.ONLYDIR)
        if number is None:
            self._add_ancestor(watches, folder.path)
        else:
            watches[number].append(folder)
        self._add_links(watches, folder.path, seen)

    def _add_ancestor(self, watches: dict[int, list[Folder]], path: str) -> None:
        """Hear of it when something that is not there comes."""
        from inotify_simple import flags

        mask = flags.CREATE | flags.MOVED_TO | flags.ATTRIB | flags.ONLYDIR
        for folder in _above(path):
            name = os.path.relpath(path, folder).split(os.sep)[0]
            if (number := self._add(folder, mask)) is not None:
                watches[number].append(Folder(folder, (name,), has_folders=False))
                break

    def _add_links(self, watches: dict[int, list[Folder]], path: str, seen: set[str]) -> None:
        """Hear of it when one of the links on the way is replaced."""
        from inotify_simple import flags

        mask = flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF | flags.DONT_FOLLOW
        for place in (path, *_above(path)):
            if place in seen:
                break
            seen.add(place)
            if os.path.islink(place) and (number := self._add(place, mask)) is not None:
                watches[number]

    def _add(self, path: str, mask: int) -> int | None:
        """The number of a watch; None for what is not there, or cannot be watched."""
        from inotify_simple import flags

        assert self._inotify is not None
        try:
            return int(self._inotify.add_watch(path, mask | flags.MASK_ADD))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError as error:
            self._shortage = shortage.of_watch(error)
            return None


def _matters(event: tuple[int, int, int, str], watches: dict[int, list[Folder]]) -> bool:
    """Whether something has happened to what is watched, rather than to what lies beside it."""
    from inotify_simple import flags

    number, mask, _, name = event
    if number not in watches or mask & flags.IGNORED:
        return False
    if not name:  # it is the file or the directory itself
        return True
    if name == "__pycache__" or name.startswith((".", "~")):
        return False
    is_folder = bool(mask & flags.ISDIR)
    return any(
        name.endswith(folder.suffixes) or (is_folder and folder.has_folders)
        for folder in watches[number]
    )


def _above(path: str) -> Iterator[str]:
    """The directories in which it lies, the nearest first."""
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above
