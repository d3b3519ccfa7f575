"""A file, and the nouns of which it is made: each a class over its tables."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prokerja.errors import StoreError
from prokerja.repository import is_path
from prokerja.repository.sqlite.declarations import Declarations
from prokerja.repository.sqlite.lanes import Lanes
from prokerja.repository.sqlite.opening import open_database, refuse_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prokerja.output.folder import OutputFolder
    from prokerja.repository.sqlite.awaiting import Awaiting
    from prokerja.repository.sqlite.blocks import Blocks
    from prokerja.repository.sqlite.cancellations import Cancellations
    from prokerja.repository.sqlite.catalog import Catalog
    from prokerja.repository.sqlite.changes import Changes
    from prokerja.repository.sqlite.claims import Claims
    from prokerja.repository.sqlite.event_reader import EventReader
    from prokerja.repository.sqlite.folding import Folding
    from prokerja.repository.sqlite.fresh_starts import FreshStarts
    from prokerja.repository.sqlite.history import History
    from prokerja.repository.sqlite.hooks import Hooks
    from prokerja.repository.sqlite.open_files import OpenFiles
    from prokerja.repository.sqlite.purging import Purging
    from prokerja.repository.sqlite.queue_rules import QueueRules
    from prokerja.repository.sqlite.retention import Retention
    from prokerja.repository.sqlite.suspensions import Suspensions
    from prokerja.repository.sqlite.workers import Workers


class Nouns:
    """What the verbs work on; a noun that only some of them need is imported by those."""

    def __init__(
        self, path: str, *, create: bool = True, local: bool = False, events: bool = True
    ) -> None:
        if "\0" in path:
            raise StoreError(f"{path!r} contains a NUL; pass a --db without one")
        self.is_shared = is_path(path)
        self.path = os.path.realpath(path) if self.is_shared else path
        if local and self.is_shared:
            refuse_network(self.path)
        self.database = open_database(self.path, create=create)
        self.database.logs_events = events
        self.lanes = Lanes(self.database)
        self.declarations = Declarations(self.database, self.lanes)
        self.refuse_newer = self.database.meet_newer
        self.maintain = self.database.renew_log
        self.close = self.database.close

    @cached_property
    def files(self) -> OpenFiles:
        """What is open, as it was when this was first asked for."""
        from prokerja.repository.sqlite.open_files import OpenFiles

        return OpenFiles(self.path if self.is_shared else "")

    @cached_property
    def catalog(self) -> Catalog:
        """What is known of the job classes."""
        from prokerja.repository.sqlite.catalog import Catalog

        return Catalog(self.database)

    @cached_property
    def outputs(self) -> OutputFolder | None:
        """Where the output of attempts is kept; None for a database in memory."""
        from prokerja.output.folder import OutputFolder

        return OutputFolder(self.path) if self.is_shared else None

    @cached_property
    def claims(self) -> Claims:
        """What workers hold."""
        from prokerja.repository.sqlite.claims import Claims

        return Claims(self.database, self.lanes, self.declarations)

    @cached_property
    def awaiting(self) -> Awaiting:
        """What waits to be resolved."""
        from prokerja.repository.sqlite.awaiting import Awaiting

        return Awaiting(self.database, self.lanes)

    @cached_property
    def hooks(self) -> Hooks:
        """Who is yet to be told of an end."""
        from prokerja.repository.sqlite.hooks import Hooks

        return Hooks(self.database)

    @cached_property
    def cancelling(self) -> Cancellations:
        """What is to end before it has."""
        from prokerja.repository.sqlite.cancellations import Cancellations

        return Cancellations(self.database, self.lanes)

    @cached_property
    def suspensions(self) -> Suspensions:
        """What is to stand still."""
        from prokerja.repository.sqlite.suspensions import Suspensions

        return Suspensions(self.database)

    @cached_property
    def retention(self) -> Retention:
        """What is kept for how long."""
        from prokerja.repository.sqlite.retention import Retention

        return Retention(self.database, self.purging.purge_some)

    @cached_property
    def folding(self) -> Folding:
        """What clears away the lanes of keys that were used once."""
        from prokerja.repository.sqlite.folding import Folding

        return Folding(self.database, self.lanes)

    @cached_property
    def registry(self) -> Workers:
        """Who has joined, and not left."""
        from prokerja.repository.sqlite.workers import Workers

        return Workers(self.database)

    @cached_property
    def history(self) -> History:
        """Declarations as people ask for them."""
        from prokerja.repository.sqlite.history import History

        return History(self.database, self.lanes)

    @cached_property
    def event_reader(self) -> EventReader:
        """What has happened."""
        from prokerja.repository.sqlite.event_reader import EventReader

        return EventReader(self.database)

    @cached_property
    def fresh_starts(self) -> FreshStarts:
        """What is to be tried again."""
        from prokerja.repository.sqlite.fresh_starts import FreshStarts

        return FreshStarts(self.database, self.lanes)

    @cached_property
    def purging(self) -> Purging:
        """What deletes declarations."""
        from prokerja.repository.sqlite.purging import Purging

        return Purging(self.database, self.lanes, self._delete_output)

    @cached_property
    def blocks(self) -> Blocks:
        """What keeps declarations out of the queue."""
        from prokerja.repository.sqlite.blocks import Blocks
        from prokerja.repository.sqlite.endings import Endings

        return Blocks(self.database, Endings(self.database, self.lanes))

    @cached_property
    def rules(self) -> QueueRules:
        """What people have said of queues."""
        from prokerja.repository.sqlite.queue_rules import QueueRules

        return QueueRules(self.database)

    @cached_property
    def changes(self) -> Changes:
        """What changes pending declarations."""
        from prokerja.repository.sqlite.changes import Changes

        return Changes(self.database, self.lanes)

    @property
    def patience(self) -> float:
        """Seconds for which a write waits for its turn."""
        return self.database.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self.database.patience = seconds

    @property
    def chance(self) -> Callable[[], float]:
        """For jitter: random numbers in [0, 1)."""
        return self.claims.chance

    @chance.setter
    def chance(self, chance: Callable[[], float]) -> None:
        self.claims.chance = chance

    def _delete_output(self, ids: Iterable[int]) -> None:
        if self.outputs is not None:
            self.outputs.delete(ids)

    def _lanes(self, queue: str | None, name: str | None) -> dict[int, Any]:
        with self.database.reading():
            return self.lanes.matching(queue, name)
