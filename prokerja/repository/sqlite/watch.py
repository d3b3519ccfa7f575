"""Wakes who waits when another process writes to the database, or a worker dies."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.repository import is_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inotify_simple import INotify

POLL_SECONDS = 0.1
"""Between looks where nothing can wake us."""
CHANGED = 0x4 | 0x400 | 0x800
"""IN_ATTRIB, which a file has also when a name of it goes, IN_DELETE_SELF and IN_MOVE_SELF."""


class Watch:
    """Watches a database's log and the lock files of workers.

    On Linux by inotify; a database in memory tells it of its own commits. `fileno()` becomes
    readable. Elsewhere there is nothing to select on, and a waiter looks again every `pace`
    seconds.
    """

    def __init__(
        self,
        path: str,
        on_commit: list[Callable[[], None]] | None = None,
        guarded: Iterable[str] = (),
    ) -> None:
        """`guarded` are files of which it also tells when they go, or change."""
        self._on_commit = on_commit if on_commit is not None else []
        self._locks: dict[int, str] = {}
        self._database = -1
        """The descriptor of the watch on the database itself, if that is guarded."""
        self._inotify: INotify | None = None
        self._pipe: tuple[int, int] | None = None
        self.pace: float | None = None
        self.shortage = ""
        """Why it cannot see all, if the system is short of something; a waiter looks again."""
        self.sees_files = False
        self.suspects = False
        if not is_path(path):
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._on_commit.append(self._poke)
        elif sys.platform == "linux":
            self._watch(f"{path}-wal")
        else:
            self.pace = POLL_SECONDS
        if self._inotify is not None and guarded:
            self._guard(self._inotify, path, guarded)

    def fileno(self) -> int:
        """What to select on, or -1."""
        if self._pipe is not None:
            return self._pipe[0]
        return -1 if self._inotify is None else self._inotify.fileno()

    def _poke(self) -> None:
        """Something was written, to a database in memory."""
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipe[1], b".")

    def locks(self, paths: Iterable[str]) -> None:
        """Watch these workers' locks, too; they are let go when their holders die."""
        if self._inotify is None:
            return
        from inotify_simple import flags

        short = ""
        for path in set(paths) - set(self._locks.values()):
            try:
                self._locks[self._inotify.add_watch(path, flags.CLOSE_WRITE)] = path
            except (FileNotFoundError, PermissionError):
                pass
            except OSError as error:
                short = shortage.of_watch(error)
        self.shortage, self.pace = short, POLL_SECONDS if short else None

    def drain(self) -> bool:
        """Forget what has happened so far, and tell whether a lock may have been let go.

        Look at the store after this, not before.
        """
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe[0], 4096)
            return False
        if self._inotify is None:
            return True
        let_go = bool(self.shortage)
        while events := self._inotify.read(timeout=0):
            let_go = let_go or any(event.wd in self._locks for event in events)
            self.suspects = self.suspects or any(
                event.mask & CHANGED or event.wd == self._database for event in events
            )
        return let_go

    def wait(self, timeout: float) -> None:
        """Sleep until something is written, for `timeout` seconds at most."""
        if self.pace is not None:
            time.sleep(min(timeout, self.pace))
        else:
            select.select([self], [], [], timeout)
            self.drain()

    def _watch(self, path: str) -> None:
        from inotify_simple import INotify, flags

        with contextlib.ExitStack() as undo:
            try:
                inotify = undo.enter_context(INotify(nonblocking=True))
                inotify.add_watch(path, flags.MODIFY)
            except OSError as error:
                self.shortage, self.pace = shortage.of_watch(error), POLL_SECONDS
            else:
                self._inotify = inotify
                undo.pop_all()

    def _guard(self, inotify: INotify, path: str, names: Iterable[str]) -> None:
        from inotify_simple import flags

        with contextlib.suppress(OSError):  # short of watches, or a file is gone already
            for name in names:
                watched = inotify.add_watch(name, CHANGED | flags.MODIFY)
                if name == path:
                    self._database = watched
            inotify.add_watch(os.path.dirname(path), CHANGED)
            self.sees_files = True

    def close(self) -> None:
        """Watch no more."""
        if self._inotify is not None:
            self._inotify.close()
        if self._pipe is not None:
            self._on_commit.remove(self._poke)
            for end in self._pipe:
                os.close(end)
