"""What limits, rates and resources leave: the one rule for claiming, and for telling why not."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from prokerja.model.flow import Rate, Shortage
from prokerja.repository.sqlite.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prokerja.model.claim import Claimed
    from prokerja.model.declaration import Lane
    from prokerja.model.flow import QueueRule, Resources
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Waiting

RUNNING = """
    SELECT limit_key, count(*) FROM slot JOIN flow ON flow.id = slot.flow
    WHERE limit_key <> '' GROUP BY limit_key"""
IN_USE = """
    SELECT need.key, sum(need.value)
    FROM slot JOIN flow ON flow.id = slot.flow JOIN json_each(flow.needs) AS need
    GROUP BY need.key"""
OF_QUEUES = "SELECT queue, sum(processing - awaiting) FROM lane GROUP BY queue"
HOLDERS = {
    "limit": "SELECT declaration FROM slot JOIN flow ON flow.id = slot.flow WHERE limit_key = ?",
    "resource": """
        SELECT declaration FROM slot JOIN flow ON flow.id = slot.flow
            JOIN json_each(flow.needs) AS need WHERE need.key = ?""",
    "queue limit": """
        SELECT held.value FROM claim, json_each(claim.declarations) AS held
            JOIN declaration ON declaration.id = held.value
            JOIN lane ON lane.id = declaration.lane WHERE queue = ?""",
}
"""The declarations that have what is short; of a rate, those that run are none of them."""
OCCUPY = "INSERT INTO slot (declaration, token, flow) VALUES (?, ?, ?)"


class Capacity:
    """Inside the transaction at hand; what was read of the store holds until its end.

    Counted is what stands in claims, so that nothing is left of what a dead worker held. A job that
    waits to be resolved does not run.
    """

    def __init__(
        self,
        database: Database,
        resources: Resources,
        rules: Mapping[str, QueueRule],
        now: float,
        *,
        claiming: bool = False,
    ) -> None:
        """`resources` is what the machine has, `rules` what was said of queues, by name."""
        self._database = database
        self._resources = resources
        self._rules = rules
        self._starts = Starts(database, now, claiming=claiming)

    def admits(self, lane: Lane) -> bool:
        """Whether one more of what waits there may be claimed."""
        return next(self.shortages(lane), None) is None

    def shortages(self, lane: Lane) -> Iterator[Shortage]:
        """All that keeps what waits there from being claimed."""
        flow, rule = lane.flow, self._rules.get(lane.queue)
        if flow is not None:
            if flow.limit_key and (running := self._running[flow.limit_key]) >= flow.max_running:
                yield Shortage("limit", flow.limit_key, flow.max_running, running)
            if flow.rate_key:
                rate = Rate(flow.max_starts, flow.rate_seconds)
                yield from self._starts.shortages("rate", flow.rate_key, rate)
            for name, amount in flow.needs:
                there, used = self._resources.get(name, 0), self._in_use[name]
                if used + amount > there:
                    yield Shortage("resource", name, there, used, amount)
        if rule is not None:
            running = self._of_queues[lane.queue]
            if rule.max_running is not None and running >= rule.max_running:
                yield Shortage("queue limit", lane.queue, rule.max_running, running)
            if rule.rate is not None:
                yield from self._starts.shortages("queue rate", lane.queue, rule.rate)

    def wait(self, lane: Lane) -> float | None:
        """When one of what waits there may be claimed: 0 for at once, None if others decide."""
        at = 0.0
        for shortage in self.shortages(lane):
            if shortage.until is None:
                return None
            at = max(at, shortage.until)
        return at

    def take(self, lane: Lane, count: int = 1) -> None:
        """So many of what waits there are claimed; below zero: given back."""
        flow, rule = lane.flow, self._rules.get(lane.queue)
        if flow is not None:
            if flow.limit_key:
                self._running[flow.limit_key] += count
            if flow.rate_key:
                self._starts.take("rate", flow.rate_key, count)
            for name, amount in flow.needs:
                self._in_use[name] += count * amount
        if rule is not None:
            self._of_queues[lane.queue] += count
            self._starts.take("queue rate", lane.queue, count)

    def write(self, taken: Iterable[Claimed], lanes: Mapping[int, Waiting]) -> None:
        """Write down what these claimed ones take."""
        for job in taken:
            waiting = lanes[job.lane]
            flow, rule = waiting.lane.flow, self._rules.get(waiting.lane.queue)
            if flow is not None:
                self._database.execute(OCCUPY, (job.id, job.token, waiting.flow))
                if flow.rate_key:
                    self._starts.claimed("rate", flow.rate_key, job)
            if rule is not None and rule.rate is not None:
                self._starts.claimed("queue rate", waiting.lane.queue, job)

    @cached_property
    def _running(self) -> Counter[str]:
        return Counter(dict(self._database.execute(RUNNING).fetchall()))

    @cached_property
    def _in_use(self) -> Counter[str]:
        return Counter(dict(self._database.execute(IN_USE).fetchall()))

    @cached_property
    def _of_queues(self) -> Counter[str]:
        return Counter(dict(self._database.execute(OF_QUEUES).fetchall()))


def holders(database: Database, shortage: Shortage) -> list[int]:
    """The claimed declarations that have what is short, the first first."""
    query = HOLDERS.get(shortage.kind)
    rows = [] if query is None else database.execute(query, (shortage.of,)).fetchall()
    return sorted(id for (id,) in rows)
