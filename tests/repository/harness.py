"""The conformance suite's words: a store that is spoken to through its verbs alone.

A second store has to pass the tests beside this file as they stand; `open_store` is all that
knows which one they are about.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from prokerja import repository
from prokerja.model.claim import Claimed
from prokerja.model.declaration import Conditions, Declaration, Lane, Status
from prokerja.model.record import Attempt, Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Turn, Want
from prokerja.spec import Field, JobSpec
from prokerja.verdicts import Completed, Failed, Released

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prokerja.model.claim import FailedAttempt
    from prokerja.model.record import Record
    from prokerja.repository.verbs import Membership, Repository
    from prokerja.verdicts import Settlement

PENDING, PROCESSING, COMPLETED, FAILED = Status
MANY = 1003
"""More than any store writes at once."""
START = 1_900_000_000.0
"""When most tests begin."""
QUEUES = ("default", "mail", "ötå")
NAMES = ("noop", "send")
DIRECTORIES = ("", "/a", "/b")
LANES = [
    Lane(*parts, directory)
    for directory in DIRECTORIES
    for parts in itertools.product(QUEUES, NAMES, (-5, 0, 7))
]


def asked(
    lane: Lane = LANES[1],
    *,
    due_at: float = 0.0,
    payload: str = "{}",
    retries: int = 0,
    retry_after: float = 10.0,
    timeout: float | None = None,
    label: str | None = None,
    batch: str | None = None,
    **conditions: Any,
) -> Declaration:
    """A request as it goes into the store, with what else it waits for."""
    asked_for = Conditions(**conditions) if conditions else None
    return Declaration(
        lane, payload, due_at, retries, retry_after, timeout, label, batch, asked_for
    )


def open_store(path: str) -> Repository:
    """The store that the tests are about, without chance, and without waiting for the disk."""
    opened = repository.open(path)
    assert isinstance(opened, SQLiteRepository)
    opened.claims.chance = lambda: 0.5
    opened.database.durable(False)
    return opened


NO_TURN = Turn([], {}, None, None, {})


class Store:
    """A store and its worker, with short words for what most tests do; its clock stands still."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.repository = open_store(path)
        self.now = START
        self._members: list[Membership] = []
        self.last_turn = NO_TURN
        """What the last claim has come to."""
        self.worker = self.join()

    def join(self) -> int:
        """Have one more worker, which lives as long as this object."""
        membership = self.repository.join(os.getpid(), self.now, 1, Taking())
        self.repository.learn(membership.worker, NAMES)
        self._members.append(membership)
        return membership.worker

    def close(self) -> None:
        """Let go of the store and of its workers' locks."""
        for membership in self._members:
            os.close(membership.lock)
        self.repository.close()

    def declare(self, *requests: Declaration) -> list[int]:
        """Declare these, or one of no matter what."""
        return list(self.repository.declare(requests or (asked(),), self.now))

    def turn(self, want: Want, worker: int = 0) -> Turn:
        """A turn that only claims."""
        return self.repository.turn(worker or self.worker, {}, (), want, self.now)

    def take(
        self,
        room: int = 10_000,
        *queues: str,
        names: set[str] | None = None,
        worker: int = 0,
        looks: int = 0,
        **taking: Any,
    ) -> dict[int, tuple[int, int]]:
        """Claim, having looked at some beyond the room; returns the token and the lane by id."""
        taken: list[Claimed] = []

        def assign(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
            left = room - len(taken)
            some = list(itertools.islice(offered, left + looks))[:left]
            taken.extend(some)
            return some, len(taken) == room

        self.last_turn = self.turn(Want(Taking(queues, names, **taking), assign), worker)
        return {claimed.id: (claimed.token, claimed.lane) for claimed in taken}

    def settle(self, token: int, *verdicts: Settlement) -> list[FailedAttempt]:
        """Settle what that claim holds."""
        return self.repository.turn(self.worker, {token: verdicts}, (), None, self.now).failed

    def complete(self, *ids: int, result: str | None = None) -> None:
        """Take everything that is due, complete these, and give the rest back."""
        for id, (token, lane) in self.take().items():
            if id in ids:
                self.settle(token, (id, lane, Completed(self.now - 1, self.now, result)))
            else:
                self.settle(token, (id, lane, Released(counted=False)))

    def fail(self, *ids: int, error: str = "ValueError: no") -> list[tuple[int, int, float | None]]:
        """Take everything that is due, fail these, and give the rest back.

        Returns each one's id, the number of the attempt, and when it is due again.
        """
        failed_attempts = []
        for id, (token, lane) in self.take().items():
            if id in ids:
                failed = (id, lane, Failed(self.now - 1, self.now, error, "in handle()"))
                failed_attempts += self.settle(token, failed)
            else:
                self.settle(token, (id, lane, Released(counted=False)))
        return [(one.id, one.number, one.retry_at) for one in failed_attempts]

    def begin(self, token: int, *ids: int) -> None:
        """Note that these of a claim are running."""
        started = [(Claimed(token, self.now, id, 0, "{}", 1, None), self.now) for id in ids]
        self.repository.turn(self.worker, {}, started, None, self.now)

    def recover(self, worker: int = 0) -> int:
        """Have a worker be dead, ours unless another is named; returns how many jobs it held."""
        [recovered] = self.repository.recover([worker or self.worker], {}, self.now)
        if not worker:
            self.worker = self.join()
        return recovered.returned

    def purge(self, status: Status, before: float, most: int | None = None) -> int:
        """Purge all queues."""
        return self.repository.purge(status, before, None, most, self.now)

    def one(self, id: int) -> Record:
        """A declaration that is there."""
        detail = self.repository.find(id, self.now)
        assert detail is not None
        return detail.record

    def attempts(self, id: int) -> list[Attempt]:
        """Its attempts that have ended."""
        detail = self.repository.find(id, self.now)
        assert detail is not None
        return detail.attempts

    def newest(
        self,
        status: Status | None = None,
        queue: str | None = None,
        name: str | None = None,
        limit: int = 10_000,
    ) -> list[int]:
        """The ids of a list."""
        return [record.id for record in self.repository.newest(Filter(status, queue, name), limit)]

    def counts(self) -> list[int]:
        """How many are pending, processing, completed and failed."""
        return list(self.repository.summary(None, self.now).total.counts().values())

    def everything(self) -> list[Any]:
        """All that can be told of its declarations."""
        details = [self.repository.find(id, self.now) for id in self.newest()]
        return [details, self.repository.summary(None, self.now).queues]


NOOP = JobSpec("noop", "default", 0, 0, 10.0, None, (), False, "/jobs/noop.py", "Does nothing.")
SEND = JobSpec(
    name="send",
    queue="mail",
    priority=7,
    retries=3,
    retry_after=60.5,
    timeout=120.0,
    fields=(
        Field("to", "str", {"type": "string"}, True, None, ""),
        Field("n", "int", {"type": "integer"}, False, 1, "1"),
    ),
    open=False,
    file="/jobs/send.py",
    doc="",
)
LOOSE = NOOP._replace(name="loose", open=True, file="/jobs/loose.py")


def record(
    store: Store, *specs: JobSpec, gone: Iterable[str] = (), directory: str = "/jobs"
) -> None:
    """Record job files and what they hold."""
    stamps = {spec.file: "1" for spec in specs}
    store.repository.record(directory, stamps, gone, specs)


def known(store: Store, name: str, directory: str = "/jobs") -> JobSpec | None:
    """What is known of a directory's job."""
    return store.repository.known(name).get(directory)
