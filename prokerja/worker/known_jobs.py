"""The jobs that a worker's realizers have loaded, as far as its supervisor needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.catalog.refresh import record, record_classes
from prokerja.hooks import ENDING
from prokerja.worker_events import Event, FileBroken, WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.wire.messages import Loaded


class KnownJobs:
    """Their names and hooks; the store is told of them."""

    def __init__(
        self,
        repository: Repository,
        worker: int,
        options: WorkerOptions,
        pool: Pool,
        tell: Callable[[Event], None],
    ) -> None:
        self._repository = repository
        self._worker = worker
        self._options = options
        self._pool = pool
        self._tell = tell
        self.names: set[str] = set()
        self.hooks: dict[str, list[str]] = {}
        """Of those that have any."""

    def learn(self) -> None:
        """Take note of the jobs that new realizers have loaded; raises StoreError."""
        pool = self._pool
        while pool.loaded:
            loaded = pool.loaded[0]
            names = {spec.name for spec in loaded.specs}
            if names != self.names or not pool.has_loaded:
                self.hooks = loaded.hooks
                self._repository.learn(self._worker, sorted(names), self._told)
                self._record(loaded)
                for broken in loaded.broken:
                    self._tell(FileBroken(broken.file, broken.error))
                options = self._options
                started = self._worker, options.realizers, options.queues
                self._tell(WorkerStarted(*started, tuple(sorted(names)), options.weights))
            elif pool.results.refused:  # it may have what the others lacked
                self._repository.learn(self._worker, sorted(names), self._told)
            self.names = names
            pool.results.refused.clear()
            pool.has_loaded = True
            del pool.loaded[0]

    @property
    def _told(self) -> list[str]:
        """The jobs that have hooks that hear of an end."""
        return sorted(name for name, hooks in self.hooks.items() if set(ENDING) & set(hooks))

    def _record(self, loaded: Loaded) -> None:
        repository, options = self._repository, self._options
        if options.classes:
            record_classes(repository, options.jobs, loaded.specs)
        elif options.jobs:
            record(repository, options.jobs, loaded.stamps, loaded.specs)
