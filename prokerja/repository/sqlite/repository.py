"""A repository in one SQLite file: the verbs, each a transaction over the nouns beside it."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prokerja.errors import NotFound, StoreError
from prokerja.model.declaration import Status
from prokerja.repository import is_path
from prokerja.repository.sqlite.declarations import Declarations
from prokerja.repository.sqlite.lanes import Lanes
from prokerja.repository.sqlite.opening import open_database, refuse_network

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prokerja.model.claim import Cancellation, Claimed
    from prokerja.model.declaration import Declaration
    from prokerja.model.metrics import Metrics
    from prokerja.model.record import Detail, Filter, Record, Running
    from prokerja.model.summary import Summary
    from prokerja.model.worker import Taking, WorkerRow
    from prokerja.output.folder import OutputFolder
    from prokerja.repository.sqlite.cancellations import Cancellations
    from prokerja.repository.sqlite.catalog import Catalog
    from prokerja.repository.sqlite.claims import Claims
    from prokerja.repository.sqlite.history import History
    from prokerja.repository.sqlite.watch import Watch
    from prokerja.repository.sqlite.workers import Workers
    from prokerja.repository.verbs import Journalled, Membership, Recovered, Turn, Want
    from prokerja.repository.verbs import Watch as AnyWatch
    from prokerja.spec import JobSpec
    from prokerja.verdicts import Settlement


class SQLiteRepository:
    """See `prokerja.repository.verbs`."""

    def __init__(self, path: str, *, create: bool = True, local: bool = False) -> None:
        if "\0" in path:
            raise StoreError(f"{path!r} contains a NUL; pass a --db without one")
        self.is_shared = is_path(path)
        self.path = os.path.realpath(path) if self.is_shared else path
        if local and self.is_shared:
            refuse_network(self.path)
        self.database = open_database(self.path, create=create)
        self.lanes = Lanes(self.database)
        self.declarations = Declarations(self.database, self.lanes, self._delete_output)
        self.retry = self.declarations.retry
        self.refuse_newer = self.database.meet_newer
        self.maintain = self.database.shorten_log
        self.close = self.database.close

    # What only some need is imported by them.

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
    def cancelling(self) -> Cancellations:
        """What is to end before it has."""
        from prokerja.repository.sqlite.cancellations import Cancellations

        return Cancellations(self.database, self.lanes)

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

    @property
    def patience(self) -> float:
        """Seconds for which a write waits for its turn."""
        return self.database.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self.database.patience = seconds

    def declare(self, declarations: Iterable[Declaration], now: float, within: Any = None) -> range:
        """See the protocol; `within` is a sqlite3 connection to the same file."""
        if within is not None:
            from prokerja.repository.sqlite.within import insert_within

            return insert_within(within, self.path, tuple(declarations), now)
        if type(declarations) is tuple and len(declarations) == 1:
            id = self.declarations.add_one(declarations[0], now)
            return range(id, id + 1)
        return self.declarations.add(declarations, now)

    def retry_failed(self, queue: str | None, name: str | None, now: float) -> int:
        """See the protocol."""
        return self.declarations.retry_failed(self._lanes(queue, name), now)

    def cancel(
        self, ids: Iterable[int], error: str, now: float, *, skip_ended: bool = False
    ) -> int:
        """See the protocol."""
        return self.cancelling.cancel(ids, error, now, skip_ended=skip_ended)

    def cancel_matching(
        self, queue: str | None, name: str | None, label: str | None, error: str, now: float
    ) -> tuple[int, int]:
        """See the protocol."""
        return self.cancelling.cancel_matching(self._lanes(queue, name), label, error, now)

    def purge(
        self, status: Status, before: float, queue: str | None = None, most: int | None = None
    ) -> int:
        """See the protocol."""
        if status is Status.PROCESSING:
            raise ValueError("processing declarations cannot be purged")
        return self.declarations.purge(self._lanes(queue, None), status, before, most)

    def join(self, pid: int, now: float, realizers: int, taking: Taking) -> Membership:
        """See the protocol."""
        assert self.claims is not None  # imported now: later there may be no descriptor to do so
        self.database.durable(False)
        return self.registry.register(pid, now, realizers, taking)

    def learn(self, worker: int, names: Sequence[str]) -> None:
        """See the protocol."""
        self.registry.set_names(worker, names)

    def turn(
        self,
        worker: int,
        settlements: Mapping[int, Sequence[Settlement]],
        started: Sequence[tuple[Claimed, float]],
        want: Want | None,
        now: float,
        *,
        leaving: bool = False,
    ) -> Turn:
        """See the protocol."""
        return self.claims.turn(worker, settlements, started, want, now, leaving=leaving)

    def cancellations(self, worker: int) -> list[Cancellation]:
        """See the protocol."""
        # A write wakes us before it can be seen; whoever has the lock sees all that was written.
        with self.database.writing(draining=True):
            return self.cancelling.asked_of(worker)

    def leave(self, membership: Membership) -> None:
        """See the protocol."""
        self.registry.unregister(membership)

    def workers(self) -> list[WorkerRow]:
        """See the protocol."""
        with self.database.reading():
            return self.registry.all()

    def find_dead(self, workers: Iterable[int], watch: AnyWatch) -> tuple[list[int], set[int]]:
        """See the protocol."""
        return self.registry.find_dead(workers, watch)

    def journals(self, worker: int) -> tuple[str, int]:
        """See the protocol."""
        with self.database.reading():
            return self.registry.lock_path(worker), self.registry.realizers(worker)

    def recover(self, workers: Sequence[int], ended: Journalled, now: float) -> list[Recovered]:
        """See the protocol."""
        with self.database.writing():
            recovered = [self.claims.recover(id, ended.get(id, {}), now) for id in workers]
            self.registry.delete(workers)
        return [one._replace(left=self.registry.delete_lock(one.worker)) for one in recovered]

    def summary(self, queue: str | None, now: float) -> Summary:
        """See the protocol."""
        with self.database.reading():
            return self._summary(queue, now)

    def metrics(self, queue: str | None, now: float) -> Metrics:
        """See the protocol."""
        from prokerja.model.metrics import Metrics
        from prokerja.repository.sqlite.histogram import durations

        with self.database.reading():
            summary = self._summary(queue, now)
            took = durations(self.database, queue)
        return Metrics(summary, took, self._bytes(""), self._bytes("-wal"))

    def find(self, id: int, now: float) -> Detail | None:
        """See the protocol."""
        from prokerja.model.record import Detail
        from prokerja.repository.why import Answers, why_not_running

        with self.database.reading():
            record = self.history.one(id)
            if record is None:
                return None
            attempts = self.history.attempts(record)
            history = self.history
            answers = Answers(self._living, history.attempts, history.ahead)
            why = why_not_running(answers, record, now)
            return Detail(record, attempts, why, self.cancelling.asked_for(id))

    def statuses(self, ids: Iterable[int]) -> dict[int, Status]:
        """See the protocol."""
        statuses = {}
        with self.database.reading():
            for id in ids:
                record = self.history.one(id)
                if record is None:
                    raise NotFound(f"there is no job {id}; `prokerja report:jobs` lists them")
                statuses[id] = record.status
        return statuses

    def newest(self, wanted: Filter, limit: int) -> list[Record]:
        """See the protocol.

        Exactly so among the newest of the file; if those are too few, the list goes on with each
        status's latest: the finished by their end, the pending by their due time.
        """
        with self.database.reading():
            return self.history.newest(wanted, limit)

    def failures(self, queue: str | None, limit: int) -> list[Record]:
        """See the protocol."""
        with self.database.reading():
            return self.history.failures(queue, limit)

    def running(self, queue: str | None, limit: int) -> list[Running]:
        """See the protocol."""
        with self.database.reading():
            return self.history.running(queue, limit)

    def known(self, name: str) -> dict[str, JobSpec]:
        """See the protocol."""
        return self.catalog.specs(name)

    def known_names(self, directory: str) -> list[str]:
        """See the protocol."""
        return self.catalog.names(directory)

    def sources(self, directory: str) -> dict[str, str]:
        """See the protocol."""
        return self.catalog.stamps(directory)

    def record(
        self, directory: str, read: Mapping[str, str], gone: Iterable[str], specs: Iterable[JobSpec]
    ) -> None:
        """See the protocol."""
        self.catalog.record(directory, read, gone, specs)

    def watch(self) -> Watch:
        """See the protocol."""
        from prokerja.repository.sqlite.watch import Watch

        return Watch(self.path, self.database.on_commit)

    def _summary(self, queue: str | None, now: float) -> Summary:
        from prokerja.model.summary import Summary

        due_since = self.lanes.due_since(queue, now)
        return Summary(self.lanes.tallies(queue), due_since, self.registry.living(), now)

    def _bytes(self, ending: str) -> int:
        """The size of a file of ours; 0 if it is not there."""
        try:
            return os.stat(f"{self.path}{ending}").st_size if self.is_shared else 0
        except OSError:
            return 0

    def _living(self) -> list[WorkerRow]:
        return self.registry.living()

    def _delete_output(self, ids: Iterable[int]) -> None:
        if self.outputs is not None:
            self.outputs.delete(ids)

    def _lanes(self, queue: str | None, name: str | None) -> dict[int, Any]:
        with self.database.reading():
            return self.lanes.matching(queue, name)
