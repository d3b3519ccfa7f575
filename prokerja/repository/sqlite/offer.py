"""What a worker is offered, and in which order, where more than due times decide."""

from __future__ import annotations

import heapq
import itertools
from functools import cached_property
from typing import TYPE_CHECKING

from prokerja.repository.sqlite.lanes import ranked
from prokerja.repository.sqlite.turns import FairTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prokerja.model.claim import Claimed
    from prokerja.model.worker import Taking
    from prokerja.repository.sqlite.capacity import Capacity
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Waiting
    from prokerja.repository.sqlite.turns import WeightedTurns

    Ready = Callable[[Waiting], Iterator[Claimed]]
    Head = tuple[int, float, int, int]
    """Of a lane: its key's last turn, the due time and the id of its first declaration, its id."""
    Unread = tuple[Claimed, Iterator[Claimed]]
    """The first of a lane, and what comes after it."""


class Offer:
    """Due declarations that limits, rates and resources admit, as far as they are asked for."""

    def __init__(
        self,
        database: Database,
        lanes: Sequence[Waiting],
        capacity: Capacity,
        ready: Ready,
    ) -> None:
        """`ready` gives a lane's due declarations, in order."""
        self._database = database
        self._lanes = {one.id: one for one in lanes}
        self._capacity = capacity
        self._ready = ready
        self._offered: list[Claimed] = []
        self._by_turns: set[int] = set()
        """The lanes whose jobs take turns."""

    def jobs(self, taking: Taking, weighted: WeightedTurns | None) -> Iterator[Claimed]:
        """Them, in the order in which a worker that takes from these queues has to claim them."""
        lanes = [*self._lanes.values()]
        if any(map(_key, lanes)):
            self._turns.join(map(_key, lanes))
        if weighted is None:
            return self._by_rank(ranked(lanes, taking.queues))
        offers = {
            queue: self._by_rank(ranked(one for one in lanes if one.lane.queue == queue))
            for queue in taking.queues
        }
        others = [one for one in lanes if one.lane.queue not in offers]
        return itertools.chain(weighted.merge(offers), self._by_rank(ranked(others)))

    def taken(self, jobs: Sequence[Claimed]) -> None:
        """These of what was offered, the first, are claimed: write down what they take."""
        for job in self._offered[len(jobs) :]:
            self._capacity.take(self._lanes[job.lane].lane, -1)
        self._capacity.write(jobs, self._lanes)
        if jobs and "_turns" in self.__dict__:
            self._turns.write(
                _key(self._lanes[job.lane]) for job in jobs if job.lane in self._by_turns
            )

    @cached_property
    def _turns(self) -> FairTurns:
        return FairTurns(self._database)

    def _by_rank(self, ranks: Sequence[Sequence[Waiting]]) -> Iterator[Claimed]:
        return itertools.chain.from_iterable(map(self._merged, ranks))

    def _merged(self, rank: Sequence[Waiting]) -> Iterator[Claimed]:
        """Those of lanes that rank alike: by turns if any of these have keys, then as they are due.

        A lane is looked into when it is the next and may be claimed from, not before.
        """
        takes_turns = any(map(_key, rank))
        last = self._turns.last if takes_turns else _no_turns
        self._by_turns.update(one.id for one in rank if takes_turns)
        heads = [(last(_key(one)), one.first_due or 0.0, one.first or 0, one.id) for one in rank]
        heapq.heapify(heads)
        unread: dict[int, Unread] = {}
        while heads:
            turn, due, id, lane = heads[0]
            waiting = self._lanes[lane]
            if not self._capacity.admits(waiting.lane):
                heapq.heappop(heads)
            elif turn != last(_key(waiting)):  # another lane of its key has had a turn since
                heapq.heapreplace(heads, (last(_key(waiting)), due, id, lane))
            elif lane not in unread:
                _read(heads, unread, turn, self._ready(waiting))
            else:
                job, rest = unread.pop(lane)
                self._capacity.take(waiting.lane)
                self._offered.append(job)
                if takes_turns:
                    self._turns.take(_key(waiting))
                yield job
                _read(heads, unread, last(_key(waiting)), rest)


def _read(heads: list[Head], unread: dict[int, Unread], turn: int, rest: Iterator[Claimed]) -> None:
    """Put the next of the first lane, of which this is the rest, in its place."""
    *_, lane = heads[0]
    job = next(rest, None)
    if job is None:
        heapq.heappop(heads)
    else:
        unread[lane] = (job, rest)
        heapq.heapreplace(heads, (turn, job.due_at, job.id, lane))


def _key(waiting: Waiting) -> str:
    flow = waiting.lane.flow
    return "" if flow is None else flow.fair_key


def _no_turns(_: str) -> int:
    return 0
