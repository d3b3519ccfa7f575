"""A plain model of what may be claimed: limits, rates, resources, turns, pauses, in lists."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prokerja.model.declaration import NOTIFY
from tests.repository.harness import PENDING, PROCESSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.declaration import Lane, Status
    from prokerja.model.flow import Flow, Rate
    from prokerja.model.worker import Taking

Rank = tuple[int, int]
NO_RANKS: set[Rank] = set()
NO_TIME = 1e-5
"""More than what a moment loses by rounding."""


@dataclass
class Job:
    """One declaration as it should stand in the store."""

    lane: Lane
    due_at: float
    retries: int = 0
    retry_after: float = 1.0
    own: bool = False
    """Whether it says itself who is told of its failure."""
    status: Status = PENDING
    held: bool = False
    was_held: bool = False
    """When it ended."""
    token: int = 0
    """Of the claim that holds it."""
    began: float | None = None
    """When its attempt did, by the clock on the wall."""
    is_known: bool = False
    """Whether the store knows that."""
    is_cancelled: bool = False
    awaiting: tuple[float, float | None] | None = None
    """When the attempt began of one that waits to be resolved, and until when it waits."""
    ended_at: float | None = None
    spent: int = 0
    crashes: int = 0
    returns: int = 0
    postponed: int = 0

    @property
    def flow(self) -> Flow | None:
        return self.lane.flow


@dataclass
class Start:
    """One start as the store counts it."""

    key: str
    id: int
    token: int
    at: float | None = None
    """None as long as it may begin at any moment."""


@dataclass
class Said:
    """What people have said of a queue."""

    limit: int | None = None
    rate: Rate | None = None
    since: int = 0
    """The number of the first claim under that rate."""
    paused_until: float | None = None
    """Infinite if nobody knows; None if it is not paused."""


@dataclass
class Begun:
    """One real start: by a clock that nobody puts back."""

    key: str
    claim: int
    """The number of the claim."""
    most: int
    """How many may start in the stretch, as the job says."""
    seconds: float
    at: float


@dataclass
class Model:
    """All there is, and the rules for it."""

    now: float
    jobs: dict[int, Job] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    said: dict[str, Said] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    """When each fair key had its last turn, as a number."""
    lanes: dict[int, int] = field(default_factory=dict)
    """The store's lane of each job."""
    refused: set[tuple[int, int]] = field(default_factory=set)
    """Workers, and the lanes that they leave out."""

    def of(self, status: Status) -> list[int]:
        return [id for id, job in self.jobs.items() if job.status is status]

    def claimed(self) -> dict[int, Job]:
        return {
            id: job
            for id, job in self.jobs.items()
            if job.status is PROCESSING and not job.awaiting
        }

    def is_paused(self, queue: str) -> bool:
        pauses = (self.said[name] for name in ("", queue) if name in self.said)
        return any(one.paused_until is not None and self.now < one.paused_until for one in pauses)

    # Who may be claimed

    def waits_for(self, worker: int, taking: Taking) -> dict[int, Job]:
        """What is pending, due or not, held or not, and for this worker."""
        return {
            id: job
            for id, job in self.jobs.items()
            if job.status is PENDING and taking.takes(job.lane)
            and not self.is_paused(job.lane.queue)
            and (worker, self.lanes[id]) not in self.refused
        }  # fmt: skip

    def is_eligible(self, job: Job, taking: Taking) -> bool:
        return self.is_queued(job) and self.admits(job.lane, taking)

    def admits(self, lane: Lane, taking: Taking) -> bool:
        running = self.claimed().values()
        flow, said = lane.flow, self.said.get(lane.queue, Said())
        if flow is not None:
            same = sum(job.flow is not None and job.flow.limit_key == flow.limit_key
                       for job in running)  # fmt: skip
            if flow.limit_key and same >= flow.max_running:
                return False
            used = self.in_use()
            if any(used[name] + n > taking.resources.get(name, 0) for name, n in flow.needs):
                return False
            if flow.rate_key and self.counted(
                f"key {flow.rate_key}", flow.rate_seconds
            ) >= flow.max_starts:  # fmt: skip
                return False
        if said.rate is not None and self.counted(
            f"queue {lane.queue}", said.rate.seconds
        ) >= said.rate.starts:  # fmt: skip
            return False
        here = sum(job.lane.queue == lane.queue for job in running)
        return said.limit is None or here < said.limit

    def in_use(self) -> Counter[str]:
        used = Counter[str]()
        for job in self.claimed().values():
            used.update(dict(job.flow.needs) if job.flow else {})
        return used

    def counted(self, key: str, seconds: float) -> int:
        return sum(
            one.key == key and (one.at is None or one.at > self.now - seconds)
            for one in self.starts
        )

    # Who is next

    def next(self, worker: int, taking: Taking, by_turns: set[Rank] = NO_RANKS) -> dict[str, int]:
        """The next of each queue that has turns by weight, or the next of all, as `""`."""
        waits = self.waits_for(worker, taking)
        if not taking.weights:
            return dict(self._first("", waits, taking, by_turns))
        found: dict[str, int] = {}
        for queue in taking.queues:
            here = {id: job for id, job in waits.items() if job.lane.queue == queue}
            found |= dict(self._first(queue, here, taking, by_turns))
        if found:
            return found
        others = {id: job for id, job in waits.items() if job.lane.queue == NOTIFY}
        return dict(self._first(NOTIFY, others, taking, by_turns))

    def _first(
        self, name: str, waits: dict[int, Job], taking: Taking, by_turns: set[Rank]
    ) -> Iterator[tuple[str, int]]:
        for rank in sorted({rank_of(job, taking) for job in waits.values()}):
            here = {id: job for id, job in waits.items() if rank_of(job, taking) == rank}
            ready = [
                (self.turns.get(key_of(job), 0) if rank in by_turns else 0, job.due_at, id)
                for id, job in here.items()
                if self.is_eligible(job, taking)
            ]
            if ready:
                yield name, min(ready)[-1]
                return

    def ranks_by_turns(self, worker: int, taking: Taking) -> set[Rank]:
        """Where jobs take turns, in a claim that is about to begin."""
        waits = self.waits_for(worker, taking).values()
        return {rank_of(job, taking) for job in waits if key_of(job) and self.is_queued(job)}

    def join(self, worker: int, taking: Taking) -> None:
        """In a claim of a job, new keys count as if they had just had a turn."""
        latest = max(self.turns.values(), default=0)
        for job in self.waits_for(worker, taking).values():
            if job.flow is None or self.is_queued(job):
                self.turns.setdefault(key_of(job), latest)

    def is_queued(self, job: Job) -> bool:
        return not job.held and job.due_at <= self.now

    def take(self, id: int, token: int) -> None:
        """It is claimed."""
        job = self.jobs[id]
        job.status, job.token, job.began, job.is_known = PROCESSING, token, None, False
        if job.flow and job.flow.rate_key:
            self.starts.append(Start(f"key {job.flow.rate_key}", id, token))
        if job.lane.queue in self.said and self.said[job.lane.queue].rate is not None:
            self.starts.append(Start(f"queue {job.lane.queue}", id, token))

    def have_turn(self, id: int) -> None:
        self.turns[key_of(self.jobs[id])] = max(self.turns.values(), default=0) + 1

    def moments(self) -> list[float]:
        """When what may be claimed can change if nobody does anything."""
        seconds = [job.flow.rate_seconds for job in self.jobs.values() if job.flow]
        seconds += [one.rate.seconds for one in self.said.values() if one.rate]
        found = {job.due_at for job in self.jobs.values() if job.status is PENDING}
        found |= {one.paused_until for one in self.said.values() if one.paused_until is not None}
        found |= {
            one.at + length for one in self.starts if one.at is not None for length in seconds
        }
        return sorted(moment for moment in found if self.now < moment < math.inf)

    def first_chance(self, worker: int, taking: Taking) -> float | None:
        """When something may be claimed, if nobody does anything; not before now."""
        now = self.now
        try:
            for moment in (now, *self.moments()):
                self.now = moment if moment == now else moment + NO_TIME
                if self.next(worker, taking):
                    return moment
        finally:
            self.now = now
        return None


def rank_of(job: Job, taking: Taking) -> Rank:
    queues = [*taking.queues, NOTIFY]
    return queues.index(job.lane.queue) if taking.queues else 0, -job.lane.priority


def key_of(job: Job) -> str:
    return job.flow.fair_key if job.flow else ""
