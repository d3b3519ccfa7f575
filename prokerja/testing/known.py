"""The job classes that a queue in memory can run: those of what was declared, and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from prokerja.catalog.loading import load_classes
from prokerja.configured_job import ConfiguredJob
from prokerja.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prokerja.catalog.loading import Loaded

T = TypeVar("T")


class KnownJobs:
    """Of a class that was defined twice, by a module that was loaded anew, the later one counts."""

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes: dict[tuple[str, str], type] = {}
        self._latest: Any = None
        self.changes = 0
        """How often it has changed."""
        for cls in classes:
            self._add(cls)

    def note(self, job: Any) -> None:
        """A job was declared."""
        self._add(type(job.job if type(job) is ConfiguredJob else job))

    def following(self, jobs: Iterable[T]) -> Iterator[T]:
        """The same jobs, whose declarations are to go through `noting`."""
        for job in jobs:
            self._latest = job
            yield job

    def noting(self, made: Iterable[T]) -> Iterator[T]:
        """The same declarations; only what can be declared is taken note of."""
        for declaration in made:
            self.note(self._latest)
            yield declaration

    def load(self) -> Loaded:
        """All of them, by name; raises CatalogError for one that a worker could not use."""
        loaded = load_classes(self._classes.values())
        if loaded.broken:
            raise CatalogError(loaded.broken[0].error)
        return loaded

    def _add(self, cls: type) -> None:
        key = cls.__module__, cls.__qualname__
        if self._classes.get(key) is not cls:
            self._classes[key] = cls
            self.changes += 1
