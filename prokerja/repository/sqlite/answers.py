"""What a file answers: counts, lists, and all about one declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import NotFound
from prokerja.repository.sqlite.nouns import Nouns
from prokerja.repository.sqlite.places import missing
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prokerja.events import Event, Position
    from prokerja.model.declaration import Lane, Status
    from prokerja.model.flow import QueueRule, Resources, Shortage
    from prokerja.model.metrics import Metrics
    from prokerja.model.record import Blocked, Condition, Detail, Filter, Record, Running
    from prokerja.model.summary import Summary
    from prokerja.model.worker import WorkerRow
    from prokerja.repository import why


class Answers(Nouns):
    """The verbs that only read, each a transaction."""

    def summary(self, queue: str | None, now: float, batch: str | None = None) -> Summary:
        """See the protocol."""
        with self.database.reading():
            if batch is None:
                return self._summary(queue, now)
            return self._summary_of_batch(batch, queue, now)

    def metrics(self, queue: str | None, now: float) -> Metrics:
        """See the protocol."""
        from prokerja.model.metrics import Metrics
        from prokerja.repository.sqlite.histogram import buckets

        with self.database.reading():
            summary = self._summary(queue, now)
            durations = buckets(self.database, queue)
        bytes = self.database.file_bytes
        return Metrics(summary, durations, bytes(""), bytes("-wal"))

    def find(self, id: int, now: float) -> Detail:
        """See the protocol."""
        from prokerja.model.record import Detail
        from prokerja.repository import why

        with self.database.reading():
            record = self._one(id)
            return Detail(
                record,
                self.history.attempts(record),
                why.why_not_running(self._answers(), record, now),
                self.cancelling.asked_for(id),
                self.blocks.parents(id),
                self.history.expires_at(id),
                self.history.cut_result(id),
                self.history.steps(id),
                is_told=not self.hooks.is_owed(id),
            )

    def conditions(self, id: int, now: float) -> list[Condition]:
        """See the protocol."""
        from prokerja.repository import why

        with self.database.reading():
            return why.conditions(self._answers(), self._one(id), now)

    def read(self, id: int) -> Record:
        """See the protocol."""
        with self.database.reading():
            return self._one(id)

    def statuses(self, ids: Iterable[int]) -> dict[int, Status]:
        """See the protocol."""
        from prokerja.repository.sqlite.statuses import statuses

        with self.database.reading():
            return statuses(self.database, list(ids))

    def open_ids(self, queue: str | None, label: str | None, batch: str | None) -> list[int]:
        """See the protocol."""
        from prokerja.repository.sqlite.statuses import open_ids

        with self.database.reading():
            return open_ids(self.database, queue, label, batch)

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

    def queue_rules(self) -> list[QueueRule]:
        """See the protocol."""
        with self.database.reading():
            return list(self.rules.all().values())

    def pauses(self, ids: Sequence[int], now: float) -> list[QueueRule]:
        """See the protocol."""
        some = "SELECT 1 FROM queue WHERE paused_at IS NOT NULL LIMIT 1"
        with self.database.reading():
            if self.database.execute(some).fetchone() is None:
                return []
            return self.rules.pauses(ids, now)

    def events(self, after: Position, limit: int) -> list[Event]:
        """See the protocol."""
        from itertools import islice

        with self.database.reading():
            return list(islice(self.event_reader.read(after), limit))

    def event_position(self, since: float | None) -> Position:
        """See the protocol."""
        with self.database.reading():
            reader = self.event_reader
            return reader.end() if since is None else reader.since(since)

    def _one(self, id: int) -> Record:
        record = self.history.one(id)
        if record is None:
            raise NotFound(missing(self.database, id))
        return record

    def _summary(self, queue: str | None, now: float) -> Summary:
        from prokerja.model.summary import Summary

        due_since = self.lanes.due_since(queue, now)
        tallies = self.lanes.tallies(queue)
        return Summary(tallies, due_since, self.registry.living(), now, self._rules_of(queue))

    def _summary_of_batch(self, batch: str, queue: str | None, now: float) -> Summary:
        from prokerja.model.summary import Summary
        from prokerja.repository.sqlite.batches import tallies

        counts, due_since = tallies(self.database, batch, queue)
        if not counts and not tallies(self.database, batch, None)[0]:
            raise NotFound(f"there is no batch {quoted(batch)}")
        due_since = {queue: due for queue, due in due_since.items() if due <= now}
        return Summary(counts, due_since, self.registry.living(), now, self._rules_of(queue))

    def _rules_of(self, queue: str | None) -> tuple[QueueRule, ...]:
        """What was said of a queue and of all, or of every queue."""
        if self.database.execute("SELECT 1 FROM queue LIMIT 1").fetchone() is None:
            return ()
        rules = self.rules.all().values()
        return tuple(rule for rule in rules if queue is None or rule.name in ("", queue))

    def _answers(self) -> why.Answers:
        from prokerja.repository import why

        # A noun that is not asked is not imported.
        history = self.history
        asked = (self._living, history.attempts, history.ahead, self._blocked, self._held)
        rest = (self.lanes.refusals, self._all_rules, self._short_of, self._holders)
        return why.Answers(*asked, *rest)

    def _living(self) -> list[WorkerRow]:
        return self.registry.living()

    def _blocked(self, id: int) -> Blocked | None:
        return self.blocks.of(id)

    def _all_rules(self) -> dict[str, QueueRule]:
        return self.rules.all()

    def _short_of(
        self, resources: Resources, rules: Mapping[str, QueueRule], now: float
    ) -> Callable[[Lane], list[Shortage]]:
        from prokerja.repository.sqlite.capacity import Capacity

        capacity = Capacity(self.database, resources, rules, now)
        return lambda lane: list(capacity.shortages(lane))

    def _holders(self, shortage: Shortage) -> list[int]:
        from prokerja.repository.sqlite.capacity import holders

        return holders(self.database, shortage)

    def _held(self) -> dict[int, int]:
        return self.registry.held()
