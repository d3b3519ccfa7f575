"""Takes due declarations out of the queue, for a worker that has room for them."""

from __future__ import annotations

import heapq
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from msgspec.json import encode

from prokerja.errors import StoreError
from prokerja.model.claim import Claimed
from prokerja.model.declaration import Status
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.lanes import ranked
from prokerja.repository.sqlite.queue_rules import QueueRules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prokerja.model.flow import QueueRule
    from prokerja.model.worker import Taking
    from prokerja.repository.sqlite.capacity import Capacity
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes, Waiting
    from prokerja.repository.sqlite.outcomes import Outcomes
    from prokerja.repository.sqlite.turns import WeightedTurns
    from prokerja.repository.verbs import Want

READY = """
    SELECT ?, p.due_at, d.id, d.lane, d.payload, d.attempt + 1, d.timeout
    FROM pending AS p CROSS JOIN declaration AS d ON d.id = p.declaration
    WHERE p.lane = ? AND p.due_at <= ? ORDER BY p.due_at, p.declaration"""
CLAIM = "INSERT INTO claim (token, worker, claimed_at, declarations) VALUES (?, ?, ?, ?)"
UNQUEUE = "DELETE FROM pending WHERE lane = ? AND (due_at, declaration) <= (?, ?)"


class Outlook(NamedTuple):
    """What a worker that has claimed what it could knows of what waits."""

    lanes: Sequence[Waiting]
    """Those that had something waiting."""
    next_due: float | None
    """When the next is due and may be claimed; None if that depends on others."""
    is_throttled: bool = False
    """Whether some are due, and wait for their rate."""

    def with_moments(self, *moments: float | None) -> Outlook:
        """The same, if more may be claimed from these moments on."""
        found = [one for one in (self.next_due, *moments) if one is not None]
        return self._replace(next_due=min(found, default=None))


class Claiming:
    """Inside the transaction of a worker's turn."""

    def __init__(self, database: Database, lanes: Lanes, outcomes: Outcomes) -> None:
        self._database = database
        self._lanes = lanes
        self._outcomes = outcomes
        self._rules = QueueRules(database)
        self._weighted: WeightedTurns | None = None

    def claim(self, token: int, want: Want, now: float) -> Outlook:
        """Claim what the worker wants of what is due, in the order in which it has to."""
        lanes = self._lanes.waiting(want.taking, now, token // TURNS)
        rules = self._rules.all()
        resumed_at = None
        if rules:
            lanes, resumed_at = self._rules.open(lanes, rules, now)
        if rules or want.taking.weights or any(one.flow for one in lanes):
            outlook = self._claim_admitted(token, want, now, lanes, rules)
        else:
            outlook = self._claim_in_order(token, want, now, lanes)
        return outlook.with_moments(resumed_at, self._lanes.later(now))

    def _claim_in_order(
        self, token: int, want: Want, now: float, lanes: Sequence[Waiting]
    ) -> Outlook:
        """As things are due, where nothing else has a say."""
        is_full = False
        taken: list[Claimed] = []
        for rank in ranked(lanes, want.taking.queues):
            some, is_full = want.assign(self._of_rank(token, rank, now))
            self._unqueue(some)
            taken += some
            if is_full:
                break
        self._write(token, taken, now)
        next_due = self._lanes.next_due(lanes)
        self._ensure_taken(next_due, now, is_full=is_full)
        return Outlook(lanes, next_due)

    def _claim_admitted(
        self,
        token: int,
        want: Want,
        now: float,
        lanes: Sequence[Waiting],
        rules: Mapping[str, QueueRule],
    ) -> Outlook:
        """The same where limits, rates, resources or turns have a say."""
        from prokerja.repository.sqlite.capacity import Capacity
        from prokerja.repository.sqlite.offer import Offer

        taking = want.taking
        capacity = Capacity(self._database, taking.resources, rules, now, claiming=True)
        offer = Offer(self._database, lanes, capacity, lambda one: self._ready(token, one, now))
        weighted = self._weighted_turns(taking)
        taken, is_full = want.assign(offer.jobs(taking, weighted))
        offer.taken(taken)
        if weighted is not None:
            queues = {one.id: one.lane.queue for one in lanes}
            weighted.take(queues[job.lane] for job in taken)
        self._unqueue(taken)
        self._write(token, taken, now)
        touched = {job.lane for job in taken}
        return self._outlook(lanes, touched, None if is_full else capacity, now)

    def _outlook(
        self, lanes: Sequence[Waiting], touched: set[int], capacity: Capacity | None, now: float
    ) -> Outlook:
        """What is left in these lanes; of those `touched`, some are gone.

        Without a `capacity`, the worker is full, and will look again as soon as it is not.
        """
        moments, waits = [], []
        for one in lanes:
            due = one.first_due
            if due is None or one.id in touched:
                due = self._lanes.next_due((one,))
            if due is None:
                continue
            at = 0.0 if capacity is None or due > now else capacity.wait(one.lane)
            if at == 0.0:
                moments.append(due)
            elif at is not None:
                waits.append(at)
        next_due = min(moments + waits, default=None)
        self._ensure_taken(next_due, now, is_full=capacity is None)
        return Outlook(lanes, next_due, bool(waits))

    def _ensure_taken(self, next_due: float | None, now: float, *, is_full: bool) -> None:
        if next_due is not None and next_due <= now and not is_full:
            raise StoreError(
                f"{self._database.path} is damaged: it queues jobs that are not there;"
                " restore a backup or try sqlite3's .recover"
            )

    def _weighted_turns(self, taking: Taking) -> WeightedTurns | None:
        """Those of this worker's queues, if they have weights.

        A program may run one worker after another with one connection.
        """
        weights = taking.weight_of
        if not weights:
            return None
        if self._weighted is None or self._weighted.weights != weights:
            from prokerja.repository.sqlite.turns import WeightedTurns

            self._weighted = WeightedTurns(weights)
        return self._weighted

    def _of_rank(self, token: int, rank: Sequence[Waiting], now: float) -> Iterator[Claimed]:
        rows = [self._ready(token, one, now) for one in rank]
        return heapq.merge(*rows, key=itemgetter(1, 2)) if len(rows) > 1 else rows[0]

    def _ready(self, token: int, one: Waiting, now: float) -> Iterator[Claimed]:
        return map(Claimed._make, self._database.execute(READY, (token, one.id, now)))

    def _unqueue(self, taken: Sequence[Claimed]) -> None:
        """Take these out of the queue; they are the first of their lanes."""
        for lane, last in {claimed.lane: claimed for claimed in taken}.items():
            count = self._database.execute(UNQUEUE, (lane, last.due_at, last.id)).rowcount
            self._outcomes.move(lane, Status.PENDING, Status.PROCESSING, count)

    def _write(self, token: int, taken: Sequence[Claimed], now: float) -> None:
        if taken:
            ids = encode([claimed.id for claimed in taken]).decode()
            self._database.execute(CLAIM, (token, token // TURNS, now, ids))
            self._outcomes.write_counts()
