"""The jobs that a worker's realizers have loaded, as far as its supervisor needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.catalog.refresh import record, record_classes
from prokerja.hooks import ENDING
from prokerja.worker_events import FileBroken, JobsChanged, WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository
    from prokerja.spec import Broken, JobSpec
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.wire.messages import Loaded
    from prokerja.worker_events import Event


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
        self._specs: list[JobSpec] = []
        self._broken: list[Broken] = []

    def learn(self) -> None:
        """Take note of the jobs that new realizers have loaded; raises StoreError."""
        pool = self._pool
        while pool.loaded:
            loaded = pool.loaded[0]
            names = {spec.name for spec in loaded.specs}
            if not pool.has_loaded or (self._specs, self.hooks) != (loaded.specs, loaded.hooks):
                self.hooks = loaded.hooks
                self._repository.learn(self._worker, sorted(names), self._told)
                self._record(loaded)
                self._specs = loaded.specs
            elif pool.results.refused:  # it may have what the others lacked
                self._repository.learn(self._worker, sorted(names), self._told)
            self._tell_of(loaded, names)
            self.names = names
            pool.results.refused.clear()
            pool.has_loaded = True
            del pool.loaded[0]

    def _tell_of(self, loaded: Loaded, names: set[str]) -> None:
        for broken in loaded.broken:
            if broken not in self._broken:
                self._tell(FileBroken(broken.file, broken.error))
        self._broken = loaded.broken
        options = self._options
        if not self._pool.has_loaded:
            started = self._worker, options.realizers, options.queues, tuple(sorted(names))
            watches = options.service.watch and bool(options.jobs)
            self._tell(WorkerStarted(*started, options.weights, watches))
        elif names != self.names:
            self._tell(JobsChanged(tuple(sorted(names))))

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
