"""Who is next where jobs take turns: by their own keys, or by the weights of their queues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prokerja.model.claim import Claimed
    from prokerja.repository.sqlite.database import Database

SERVED = "INSERT OR REPLACE INTO turn (fair_key, served) VALUES (?, ?)"
KEPT_TURNS = 10_000
"""Keys of which nothing waits whose last turn is remembered; any other counts as a new one."""
FORGET = f"""
    DELETE FROM turn WHERE served <= (
        SELECT served FROM turn ORDER BY served DESC LIMIT 1 OFFSET {KEPT_TURNS}
    )
    AND fair_key NOT IN (
        SELECT fair_key FROM lane JOIN flow ON flow.id = lane.flow WHERE lane.pending > 0
    )"""


class FairTurns:
    """Of keys, the one is next whose last turn is the longest ago, whatever worker that was.

    What waits without a key has a turn like any other. A new key counts as if it had just had one,
    so that those who wait already do not wait for all that are yet to come. Within the transaction
    that claims.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._served: dict[str, int] = dict(database.execute("SELECT fair_key, served FROM turn"))
        self._latest = self._latest_written = max(self._served.values(), default=0)
        self._joined: dict[str, int] = {}
        """When those came that are new."""

    def join(self, keys: Iterable[str]) -> None:
        """Something of these waits."""
        for key in keys:
            if key not in self._served:
                self._served[key] = self._joined[key] = self._latest

    def last(self, key: str) -> int:
        """The number of the last turn of a key that has joined."""
        return self._served[key]

    def take(self, key: str) -> None:
        """The key has its turn."""
        self._latest += 1
        self._served[key] = self._latest

    def write(self, keys: Iterable[str]) -> None:
        """Write down who has joined, and that these have had turns, in this order, and no other."""
        had = {key: number for number, key in enumerate(keys, self._latest_written + 1)}
        self._database.executemany(SERVED, (self._joined | had).items())


class WeightedTurns:
    """Of a worker's queues, the one is next that has had the least for its weight.

    A queue that had nothing waiting has saved nothing up. One that always has something waits for
    no more jobs of each other queue, in a row, than that one's weight divided by its own, rounded
    up. This is stride scheduling: Waldspurger and Weihl, 1995.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = weights
        common = math.lcm(*weights.values())
        self._strides = {queue: common // weight for queue, weight in weights.items()}
        self._had = dict.fromkeys(weights, 0)
        """The strides of the jobs that each has had."""
        self._least = 0
        """What the queue that was served last had before."""

    def merge(self, offers: Mapping[str, Iterator[Claimed]]) -> Iterator[Claimed]:
        """What the queues offer, in that order, as if all of it was claimed."""
        had = {queue: self._before(queue) for queue in offers}
        rest = dict(offers)
        while rest:
            queue = min(rest, key=lambda one: (had[one], self._strides[one]))
            job = next(rest[queue], None)
            if job is None:
                del rest[queue]
            else:
                had[queue] += self._strides[queue]
                yield job

    def take(self, queues: Iterable[str]) -> None:
        """One job of each of these was claimed, in this order; others do not count."""
        for queue in filter(self._had.__contains__, queues):
            self._least = self._before(queue)
            self._had[queue] = self._least + self._strides[queue]

    def _before(self, queue: str) -> int:
        return max(self._had[queue], self._least)
