"""Has the worker leave when prokerja itself, or a package that is installed, has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.exit_codes import NEW_CODE
from prokerja.worker.file_watch import Folder
from prokerja.worker.installed import METADATA, installed, sites, unfinished
from prokerja.worker.own_code import SUFFIXES
from prokerja.worker.own_code import folders as own_folders

if TYPE_CHECKING:
    from prokerja.worker.duties.code import CodeEvents
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.file_watch import FileWatch
    from prokerja.worker.own_code import OwnCode

GROUP = "packages"
"""Of the watched files."""
QUIET_SECONDS = 1.0
"""An installation does much at once: so long after the last of it one may look."""
MAX_UNFINISHED_SECONDS = 60.0
"""For which one waits for an installation to end that seems to go on."""
MAX_NAMED = 3


class PackageCheck:
    """The worker finishes what runs then, however long that takes."""

    def __init__(
        self, own: OwnCode, requests: StopRequests, watch: FileWatch, events: CodeEvents
    ) -> None:
        self._own = own
        self._requests = requests
        self._watch = watch
        self._events = events
        self._sites = sites()
        self._watch_all()
        self._installed = installed(self._sites)
        self._unfinished = unfinished(self._sites)
        self._stirred_at: float | None = None
        """When something has happened first, since all was as it had been."""
        self._is_over = False
        self.due: float | None = 0.0

    def stir(self, now: float) -> None:
        """Something has happened to the packages."""
        if not self._is_over:
            self._note_stir(now)
            self.due = now + QUIET_SECONDS

    def run(self, now: float) -> None:
        """See whether any has changed."""
        try:
            self._watch_all()
            own, others = self._own.changed(), self._changed()
            is_going_on = bool(own or others) and self._is_going_on(now)
        except OSError:  # the system is short of something, and so are we of an answer
            self.due = now + QUIET_SECONDS
            return
        self.due = None if self._watch.pace is None else now + self._watch.pace
        if not (own or others):
            self._stirred_at = None
        elif is_going_on:
            self.due = now + QUIET_SECONDS
        else:
            self._is_over, self.due = True, None
            self._events.add((*own, *others), None)
            self._requests.request(_in_words(own, others), NEW_CODE, patient=True)

    def _changed(self) -> list[str]:
        now = installed(self._sites)
        return sorted({path for path, _ in now.items() ^ self._installed.items()})

    def _is_going_on(self, now: float) -> bool:
        """Whether somebody seems to be installing something just now."""
        since = now - self._note_stir(now)
        if since >= MAX_UNFINISHED_SECONDS:
            return False
        if since < QUIET_SECONDS:  # nobody has told us of it
            return True
        return bool(unfinished(self._sites) - self._unfinished)

    def _note_stir(self, now: float) -> float:
        """Returns when something has happened first."""
        if self._stirred_at is None:
            self._stirred_at = now
        return self._stirred_at

    def _watch_all(self) -> None:
        folders = [Folder(path, SUFFIXES) for path in own_folders()]
        folders += [Folder(path, METADATA, has_folders=False) for path in self._sites]
        self._watch.watch(GROUP, (), folders)


def _in_words(own: list[str], others: list[str]) -> str:
    if own:
        return "prokerja itself has changed"
    names = list(dict.fromkeys(map(os.path.basename, others)))
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"installed packages have changed ({', '.join(names[:MAX_NAMED])}{more})"
