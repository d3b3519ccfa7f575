"""A repository in one SQLite file: the verbs, each a transaction over the nouns beside it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prokerja.errors import StoreError
from prokerja.model.claim import Requests
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.answers import Answers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from prokerja.model.change import Change
    from prokerja.model.claim import Claimed, Reported
    from prokerja.model.declaration import Declaration, Ids
    from prokerja.model.flow import QueueRule, Rate
    from prokerja.model.record import Filter
    from prokerja.model.worker import Taking, WorkerNote, WorkerRow
    from prokerja.repository.sqlite.watch import Watch
    from prokerja.repository.verbs import Journalled, Membership, Recovered, Turn, Want
    from prokerja.repository.verbs import Watch as AnyWatch
    from prokerja.spec import JobSpec
    from prokerja.verdicts import Settlement


class SQLiteRepository(Answers):
    """See `prokerja.repository.verbs`."""

    def declare(
        self, declarations: Iterable[Declaration], now: float, within: Any = None
    ) -> range | Ids:
        """See the protocol; `within` is a sqlite3 connection to the same file."""
        if within is not None:
            from prokerja.repository.sqlite.within import insert_within

            events = self.database.logs_events
            return insert_within(within, self.path, tuple(declarations), now, events=events)
        if (
            type(declarations) is tuple
            and len(declarations) == 1
            and not declarations[0].conditions
        ):
            id = self.declarations.add_one(declarations[0], now)
            return range(id, id + 1)
        return self.declarations.add(declarations, now)

    def retry(self, ids: Sequence[int], now: float) -> None:
        """See the protocol."""
        self.fresh_starts.retry(ids, now)

    def retry_failed(self, queue: str | None, name: str | None, now: float) -> int:
        """See the protocol."""
        return self.fresh_starts.retry_failed(self._lanes(queue, name), now)

    def resolve(self, id: int, answer: str, token: str | None, now: float) -> None:
        """See the protocol."""
        self.awaiting.resolve(id, answer, token, now)

    def cancel(
        self, ids: Iterable[int], error: str, now: float, *, skip_ended: bool = False
    ) -> int:
        """See the protocol."""
        return self.cancelling.cancel(ids, error, now, skip_ended=skip_ended)

    def cancel_matching(self, wanted: Filter, error: str, now: float) -> tuple[int, int]:
        """See the protocol."""
        lanes = self._lanes(wanted.queue, wanted.name)
        return self.cancelling.cancel_matching(lanes, wanted.label, wanted.batch, error, now)

    def hold(self, ids: Iterable[int]) -> None:
        """See the protocol."""
        self.blocks.hold(ids)

    def release(self, ids: Iterable[int]) -> None:
        """See the protocol."""
        self.blocks.release(ids)

    def change(self, ids: Iterable[int], change: Change, now: float) -> None:
        """See the protocol."""
        self.changes.change(ids, change, now)

    def suspend(self, ids: Iterable[int], now: float) -> None:
        """See the protocol."""
        self.suspensions.suspend(ids, now)

    def resume(self, ids: Iterable[int]) -> None:
        """See the protocol."""
        self.suspensions.resume(ids)

    def purge(
        self,
        status: Status,
        before: float,
        queue: str | None = None,
        most: int | None = None,
        now: float | None = None,
    ) -> int:
        """See the protocol."""
        if status is Status.PROCESSING:
            raise ValueError("processing declarations cannot be purged")
        return self.purging.purge(self._lanes(queue, None), status, before, most, now)

    def mend(self, now: float) -> None:
        """See the protocol."""
        with self.database.writing():
            self.claims.mend(now)

    def purge_old(self, keep: Mapping[Status, float], now: float, seconds: float) -> float | None:
        """See the protocol."""
        more_at = self.retention.purge_old(keep, now, seconds)
        return now if self.folding.fold(now, seconds) else more_at

    def clock_put_back(self, before: float, now: float) -> bool:
        """See the protocol."""
        from prokerja.repository.sqlite.clock import Clock

        return Clock(self.database).put_back(before, now)

    def pause_queue(
        self, queue: str, now: float, by: str, why: str | None, until: float | None
    ) -> tuple[QueueRule, QueueRule | None]:
        """See the protocol."""
        return self.rules.pause(queue, now, by, why, until)

    def resume_queue(self, queue: str, now: float, by: str | None = None) -> QueueRule:
        """See the protocol."""
        return self.rules.resume(queue, now, by)

    def limit_queue(self, queue: str, most: int | None) -> QueueRule:
        """See the protocol."""
        return self.rules.limit(queue, most)

    def rate_queue(self, queue: str, rate: Rate | None) -> QueueRule:
        """See the protocol."""
        return self.rules.rate(queue, rate)

    def join(
        self,
        pid: int,
        now: float,
        realizers: int,
        taking: Taking,
        rules: Sequence[tuple[str, str]] = (),
    ) -> Membership:
        """See the protocol."""
        # Imported now: later there may be no descriptor to do so.
        assert all((self.claims, self.cancelling, self.suspensions, self.retention, self.folding))
        self.database.durable(False)
        with self.database.reading():
            self.claims.notices.load(wanted=bool(rules))
        membership = self.registry.register(pid, now, realizers, taking, rules)
        if self.is_shared:
            from prokerja.repository.sqlite.open_files import OpenFiles

            self.files = OpenFiles(self.path, [self.registry.lock_path(membership.worker)])
            self.files.check_header()
        return membership

    def learn(self, worker: int, names: Sequence[str], told: Collection[str] = ()) -> None:
        """See the protocol."""
        self.registry.set_names(worker, names, told)

    def turn(
        self,
        worker: int,
        settlements: Mapping[int, Sequence[Settlement]],
        started: Sequence[tuple[Claimed, float]],
        want: Want | None,
        now: float,
        *,
        leaving: bool = False,
        reported: Reported | None = None,
    ) -> Turn:
        """See the protocol."""
        self.files.check_often(now)
        turn = self.claims.turn
        if reported is None or not reported.steps:
            return turn(worker, settlements, started, want, now, reported, leaving=leaving)
        with self.database.syncing():
            return turn(worker, settlements, started, want, now, reported, leaving=leaving)

    def note(self, worker: int, notes: Sequence[WorkerNote]) -> None:
        """See the protocol."""
        self.registry.set_notes(worker, notes)

    def code_changed(
        self, worker: int, files: Sequence[str], error: str | None, now: float
    ) -> None:
        """See the protocol."""
        self.registry.add_code_change(worker, files, error, now)

    def usual_peak(self, name: str) -> int | None:
        """See the protocol."""
        from prokerja.model.cost import usual
        from prokerja.repository.sqlite.costs import Costs

        with self.database.reading():
            return usual(Costs(self.database).peaks(name))

    def requests(self, worker: int, now: float) -> Requests:
        """See the protocol."""
        # A write wakes us before it can be seen; whoever has the lock sees all that was written.
        with self.database.writing(draining=True):
            asked = self.cancelling.asked_of(worker), self.suspensions.asked_of(worker)
            return Requests(*asked, self.claims.deadline(now))

    def leave(self, membership: Membership, now: float) -> None:
        """See the protocol."""
        self.registry.unregister(membership, now)

    def refuse_gone(self, worker: int | None = None) -> None:
        """See the protocol."""
        self.files.check()
        if worker is not None:
            self.files.check_header()
            with self.database.reading():
                self.registry.refuse_unknown(worker)

    def abandon(self) -> None:
        """See the protocol."""
        if self.files.has_lost_log():
            with suppress(StoreError):
                self.database.shorten_log()
        self.close = self.database.abandon

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
            return self.registry.lock_path(worker), self.registry.rings(worker)

    def recover(self, workers: Sequence[int], ended: Journalled, now: float) -> list[Recovered]:
        """See the protocol."""
        with self.database.writing():
            recovered = [self.claims.recover(id, ended.get(id, {}), now) for id in workers]
            self.registry.delete(workers, now, died=True)
        return [one._replace(left=self.registry.delete_lock(one.worker)) for one in recovered]

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

    def watch(self, *, guarded: bool = False) -> Watch:
        """See the protocol."""
        from prokerja.repository.sqlite.watch import Watch

        names = self.files.names if guarded else ()
        return Watch(self.path, self.database.on_commit, names)
