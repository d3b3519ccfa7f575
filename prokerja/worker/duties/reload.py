"""Has realizers replaced when the code changes that they have loaded."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja.catalog.files import folders, scan
from prokerja.errors import CatalogError
from prokerja.file_stamps import stamp
from prokerja.worker.file_watch import Folder
from prokerja.worker_events import CodeChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prokerja.file_stamps import Stamp
    from prokerja.worker.duties.code import CodeEvents
    from prokerja.worker.file_watch import FileWatch
    from prokerja.worker.holds import Holds
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.pool.process import RealizerProcess
    from prokerja.worker_events import Event

GROUP = "jobs"
"""Of the watched files."""
QUIET_SECONDS = 0.2
"""Editors write in several steps: so long after the last of them the file is taken for whole."""
MAX_QUIET_SECONDS = 1.0
"""After the first of them, it is looked at in any case."""
PAUSE_SECONDS = 0.5
"""Between two candidates."""
RETRY_SECONDS = 5.0
"""Before another try where none could be started, or the directory could not be read."""
MAX_FILES = 100
"""Of one change, that are told of."""
NOTE = "code"
"""The kind of the worker's note."""


class Code(NamedTuple):
    """The files that matter, as they are at one moment."""

    stamps: Mapping[str, Stamp]
    listed: frozenset[str] | None
    """The files of the jobs directory; None if classes were imported instead."""

    def differences(self, process: RealizerProcess) -> set[str]:
        """The files that are not what a realizer has loaded."""
        found = {path for path, one in process.files.items() if self.stamps.get(path) != one}
        if self.listed is not None and process.loaded is not None:
            found |= self.listed ^ process.loaded.stamps.keys()
        return found

    def changes_since(self, earlier: Code) -> set[str]:
        """The files that are not what they were, as far as both know of them."""
        both = self.stamps.keys() & earlier.stamps.keys()
        found = {path for path in both if self.stamps[path] != earlier.stamps[path]}
        return found | ((self.listed or frozenset()) ^ (earlier.listed or frozenset()))

    def is_like(self, other: Code) -> bool:
        """Whether it is the same, as far as both know of the files."""
        return not self.changes_since(other)


class Reload:
    """Starts one candidate with the new code; if that can load it, the others make room.

    If it cannot, they stay, and that is tried again when the files change once more.
    """

    def __init__(
        self,
        jobs: str,
        pool: Pool,
        holds: Holds,
        watch: FileWatch,
        events: CodeEvents,
        tell: Callable[[Event], None],
    ) -> None:
        """`jobs` is the jobs directory that realizers read, empty if they import classes."""
        self._jobs = os.path.abspath(jobs) if jobs else ""
        self._pool = pool
        self._holds = holds
        self._watch = watch
        self._events = events
        self._tell = tell
        self._stirred_at: float | None = None
        """When something has happened to the files first, since the last look."""
        self._check_at: float | None = None
        self._start_at = 0.0
        """When another candidate may be started."""
        self._tried: Code | None = None
        """For which the last candidate was started."""
        self._failed: Code | None = None
        """What could not be loaded."""
        self._error = ""
        self._lost: set[str] = set()
        """The job files that could be loaded before."""
        self._used: Code | None = None
        """What the realizers were last known to run."""

    @property
    def due(self) -> float | None:
        """A moment after a change; at once when a realizer tells what it has loaded."""
        if self._pool.stopping:
            return None
        if self._check_at is not None:
            return self._check_at
        return 0.0 if self._pool.renewal.changed else None

    def stir(self, now: float) -> None:
        """Something has happened to the files."""
        if self._stirred_at is None:
            self._stirred_at = now
        self._check_at = min(now + QUIET_SECONDS, self._stirred_at + MAX_QUIET_SECONDS)

    def run(self, now: float) -> None:
        """See what has changed, and do the next thing about it."""
        renewal = self._pool.renewal
        stirred, self._stirred_at, renewal.changed = self._stirred_at is not None, None, False
        self._check_at = None if self._watch.pace is None else now + self._watch.pace
        try:
            code = self._look()
        except CatalogError as error:
            self._fail(str(error), set(), None)
            self._check_at = now + RETRY_SECONDS
            return
        self._judge(code)
        members = [*renewal.seated, *renewal.waiting]
        stale = [one for one in members if code.differences(one)]
        if not members and stirred:
            self._pool.hurry()
        if not stale:
            self._settle(members, code)
        elif any(one not in stale and not one.lacks for one in members):
            self._renew(stale, code)
        elif self._failed is None or not code.is_like(self._failed):
            self._try(code, now)

    def _look(self) -> Code:
        """The files as they are; raises CatalogError if the jobs directory cannot be read."""
        renewal, listed = self._pool.renewal, None
        known = [*renewal.seated, *renewal.waiting]
        known += [renewal.candidate] if renewal.candidate else []
        paths = {path for one in known for path in one.files}
        watched = [Folder(path, (".py",)) for path in folders(self._jobs)] if self._jobs else []
        self._watch.watch(GROUP, sorted(paths), watched)
        if self._jobs:
            listed = frozenset(scan(self._jobs))
        return Code({path: stamp(path) for path in paths | (listed or set())}, listed)

    def _judge(self, code: Code) -> None:
        """Accept the candidate, if it has loaded this code, and all that was loaded before."""
        renewal = self._pool.renewal
        candidate, death, renewal.death = renewal.candidate, renewal.death, ""
        if death and self._tried is not None and code.is_like(self._tried):
            self._fail(death, self._changes(code), code)
        if candidate is None or candidate.loaded is None:
            return
        if code.differences(candidate):
            renewal.drop()
        elif lost := self._pool.code.lost(candidate.loaded):
            renewal.drop()
            self._lost = {one.file for one in lost}
            told = "; ".join(f"{one.file}: {one.error}" for one in lost)
            self._fail(told, self._changes(code), code)
        else:
            renewal.candidate = None
            self._pool.accept(candidate.loaded)

    def _changes(self, code: Code) -> set[str]:
        """The files that are not what those have loaded who run jobs."""
        renewal = self._pool.renewal
        members = [*renewal.seated, *renewal.waiting]
        return set().union(*(code.differences(one) for one in members))

    def _settle(self, members: Iterable[RealizerProcess], code: Code) -> None:
        """All run what there is, or did so before it was broken."""
        if self._pool.renewal.candidate is not None:
            self._pool.renewal.drop()
        whole = [one for one in members if not one.lacks]
        broken = _broken(whole)
        if whole and not broken & self._lost:
            self._mended()
            # One that was replaced for another reason has loaded what is new.
            changes = code.changes_since(self._used) if self._used is not None else set()
            self._used = code
            if changes := changes - broken:
                self._report(changes, None)

    def _renew(self, stale: list[RealizerProcess], code: Code) -> None:
        changes = set().union(*(code.differences(one) for one in stale))
        renewal = self._pool.renewal
        fresh = [one for one in (*renewal.seated, *renewal.waiting) if one not in stale]
        renewal.retire(stale)
        self._mended()
        self._used = code
        if changes := changes - _broken(fresh):
            self._report(changes, None)

    def _try(self, code: Code, now: float) -> None:
        """Start a candidate, unless there is one already."""
        if self._pool.renewal.candidate is not None and self._tried is not None:
            if code.is_like(self._tried):
                return
            self._pool.renewal.drop()
        if now < self._start_at:
            self._check_at = self._start_at
            return
        self._tried, self._start_at = code, now + PAUSE_SECONDS
        if self._pool.renewal.start() is None:
            self._check_at = self._start_at = now + RETRY_SECONDS

    def _fail(self, error: str, changes: Iterable[str], code: Code | None) -> None:
        """The older code runs on."""
        self._failed = code
        if error != self._error:
            self._error = error
            text = f"new code does not load, so older code runs on: {error}"
            self._holds.note(NOTE, text, time.time())
            self._report(changes, error)

    def _mended(self) -> None:
        self._failed, self._error, self._lost = None, "", set()
        self._holds.lift(NOTE)

    def _report(self, changes: Iterable[str], error: str | None) -> None:
        files = tuple(sorted(changes)[:MAX_FILES])
        self._tell(CodeChanged(files, error))
        self._events.add(files, error)


def _broken(processes: Iterable[RealizerProcess]) -> set[str]:
    """The files of which these have loaded nothing."""
    loaded = [one.loaded for one in processes if one.loaded is not None]
    return {broken.file for one in loaded for broken in one.broken}
