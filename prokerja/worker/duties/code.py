"""What a worker does about code that changes: all of it, and what is kept of it in the store."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain
from prokerja.worker.duties.packages import GROUP as PACKAGES
from prokerja.worker.duties.packages import PackageCheck
from prokerja.worker.duties.reload import GROUP as JOBS
from prokerja.worker.duties.reload import Reload
from prokerja.worker.file_watch import FileWatch
from prokerja.worker_events import CodeUnwatched

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository
    from prokerja.worker.duties import Duty
    from prokerja.worker.duties.all import Parts

RETRY_SECONDS = 1.0
"""Between two tries to write down what has happened."""


class CodeEvents:
    """Writes down that code has changed."""

    def __init__(self, repository: Repository, worker: int) -> None:
        self._repository = repository
        self._worker = worker
        self._untold: list[tuple[tuple[str, ...], str | None, float]] = []
        self._retry_at = 0.0

    @property
    def due(self) -> float | None:
        """At once if there is anything to write down; or a moment after it was refused."""
        return self._retry_at if self._untold else None

    def add(self, files: tuple[str, ...], error: str | None) -> None:
        """These files have changed; the error if they could not be loaded."""
        self._untold.append((files, error, time.time()))

    def run(self, now: float) -> None:
        """Write it down; if that cannot be done now, try again soon."""
        self._retry_at = now + RETRY_SECONDS
        with suppress(TryAgain):
            while self._untold:
                self._repository.code_changed(self._worker, *self._untold[0])
                del self._untold[0]
            self._retry_at = 0.0


class CodeDuties:
    """The duties, and the watch that they share."""

    def __init__(self, parts: Parts) -> None:
        options = parts.options
        self._watch = watch = FileWatch(lambda why: parts.tell(CodeUnwatched(why)))
        events = CodeEvents(parts.repository, parts.worker)
        packages = PackageCheck(parts.own_code, parts.requests, watch, events)
        self._by_group: dict[str, Reload | PackageCheck] = {PACKAGES: packages}
        self.all: list[Duty] = [packages]
        if options.jobs or options.classes:
            jobs = "" if options.classes else options.jobs
            reload = Reload(jobs, parts.pool, parts.holds, watch, events, parts.tell)
            self._by_group[JOBS] = reload
            self.all.append(reload)
        self.all.append(events)
        parts.loop.add(watch, self._hear)

    def close(self) -> None:
        """Watch no more."""
        self._watch.close()

    def _hear(self) -> None:
        now = time.monotonic()
        for group in self._watch.drain():
            self._by_group[group].stir(now)
