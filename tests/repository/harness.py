"""What the tests of every store share: requests, and a store with short words for its verbs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model import Claimed, Declaration, Lane, Status, Taking
from prokerja.repository.sqlite.claims import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.spec import Field, JobSpec
from prokerja.verdicts import Completed, Failed, Released

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from prokerja.model import FailedAttempt, Record
    from prokerja.verdicts import Settlement

PENDING, PROCESSING, COMPLETED, FAILED = Status
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
) -> Declaration:
    """A request as it goes into the store."""
    return Declaration(lane, payload, due_at, retries, retry_after, timeout)


def turn(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    queues: Sequence[str] = (),
    names: set[str] | None = None,
    directories: Sequence[str] | None = None,
) -> list[Claimed]:
    """One turn of a worker that has room for so many."""
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(itertools.islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room

    ranks = repository.lanes.waiting(Taking(tuple(queues), names, directories))
    repository.claims.take(token, ranks, now, choose)
    return taken


def take(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    queues: Sequence[str] = (),
    names: set[str] | None = None,
    directories: Sequence[str] | None = None,
) -> list[Claimed]:
    """The same, in a transaction of its own."""
    with repository.database.writing():
        return turn(repository, token, now, room, queues, names, directories)


class Store:
    """A repository with short words for what most tests do; its clock stands still."""

    def __init__(self, path: str) -> None:
        self.repository = SQLiteRepository(path)
        self.now = START
        self.turns = itertools.count(TURNS + 1)

    def declare(self, *requests: Declaration) -> list[int]:
        declarations = self.repository.declarations
        if len(requests) > 1:
            return list(declarations.add(requests, self.now))
        return [declarations.add_one(requests[0] if requests else asked(), self.now)]

    def take(self, room: int = 1000, *queues: str) -> dict[int, tuple[int, int]]:
        """Claim; returns the token and the lane by id."""
        token = next(self.turns)
        taken = take(self.repository, token, self.now, room, queues)
        return {claimed.id: (token, claimed.lane) for claimed in taken}

    def settle(self, token: int, *verdicts: Settlement) -> list[FailedAttempt]:
        with self.repository.database.writing():
            return self.repository.claims.settle(token, verdicts, self.now, lambda: 0.5)

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
        with self.repository.database.writing():
            self.repository.claims.started(token, [(id, self.now) for id in ids])

    def recover(self, worker: int = 1) -> int:
        with self.repository.database.writing():
            return self.repository.claims.put_back(worker, self.now)

    def one(self, id: int) -> Record:
        record = self.repository.history.one(id)
        assert record is not None
        return record

    def newest(
        self,
        status: Status | None = None,
        queue: str | None = None,
        name: str | None = None,
        limit: int = 100,
    ) -> list[int]:
        return [r.id for r in self.repository.history.newest(status, queue, name, limit)]

    def rows(self, query: str) -> list[Any]:
        return self.repository.database.execute(query).fetchall()

    def everything(self) -> list[str]:
        """All there is in the file."""
        return list(self.repository.database.connection.iterdump())

    def lanes(self) -> list[int]:
        return list(self.repository.lanes.matching(None, None))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "q.db"))
    store.repository.database.durable(False)
    yield store
    store.repository.close()


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
    stamps = {spec.file: "1" for spec in specs}
    store.repository.catalog.record(directory, stamps, gone, specs)


def known(store: Store, name: str, directory: str = "/jobs") -> JobSpec | None:
    return store.repository.known(name).get(directory)
