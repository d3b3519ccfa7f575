"""What a query costs in a file with many jobs."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model.change import Change
from prokerja.model.claim import Reported
from prokerja.model.declaration import Conditions, Status
from prokerja.model.progress import Progress
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite import history
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.histogram import buckets
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.spec import JobSpec
from prokerja.verdicts import Parked, Refusal, Released
from tests.sqlite.files import START, asked, settle, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


SPEC = JobSpec("noop", "default", 0, 0, 10.0, None, (), True, "/jobs/noop.py", "")


def statements(repository: SQLiteRepository, action: Callable[[], object]) -> set[str]:
    """Every statement that `action` executes, as it was written."""
    seen: set[str] = set()
    connection = repository.database.connection
    connection.set_trace_callback(seen.add)
    try:
        action()
    finally:
        connection.set_trace_callback(None)
    return {text for text in seen if not text.startswith(("BEGIN", "COMMIT", "PRAGMA", "--"))}


def verbs(repository: SQLiteRepository) -> dict[str, Callable[[], object]]:
    """Everything that is done with a file, by its name."""
    past, lanes = repository.history, repository.lanes
    ids = list(lanes.matching(None, None))
    tokens = itertools.count(TURNS * 50)

    def turn(code: int) -> None:
        repository.declarations.add([asked() for _ in range(3)], START)
        claimed = take(repository, next(tokens), 3)
        with repository.database.writing():
            ended = [(claim.id, START) for claim in claimed[:1]]
            repository.claims.started(claimed[0].token, ended, START)
        settle(repository, claimed, code)

    def tell() -> None:
        repository.declarations.add([asked() for _ in range(3)], START)
        claimed = take(repository, next(tokens), 3)
        claims = [(claim.token, claim.id) for claim in claimed]
        done = [(claim, "step", "1") for claim in claims]
        progress = [(claim, Progress(1, 1, 2, "", START)) for claim in claims]
        with repository.database.writing():
            repository.claims.report(Reported(done, progress), START)
            repository.claims.extras.of(claims[0][0], [id for _, id in claims])
        settle(repository, claimed, 1)

    def recover() -> None:
        repository.declarations.add([asked() for _ in range(3)], START)
        claimed = take(repository, 40 * TURNS, 3)
        with repository.database.writing():
            repository.claims.started(claimed[0].token, [(claimed[0].id, START)], START)
            repository.claims.put_back(40, START)

    def one() -> None:
        record = past.one(1)
        assert record is not None
        past.attempts(record)
        past.ahead(record, START)

    def retry() -> None:
        repository.fresh_starts.retry([past.newest(Filter(Status.FAILED), 1)[0].id], START)

    purge = repository.purging.purge
    found: dict[str, Callable[[], object]] = {
        "declare": lambda: repository.declarations.add([asked()] * 3, START),
        "complete": lambda: turn(1),
        "fail": lambda: turn(2),
        "return": lambda: turn(0),
        "tell": tell,
        "recover": recover,
        "waiting": lambda: lanes.waiting(Taking(), START),
        "next due": lambda: lanes.next_due(lanes.waiting(Taking(), START)),
        "tallies": lanes.tallies,
        "tallies of one": lambda: lanes.tallies("default"),
        "due since": lambda: repository.lanes.due_since(None, START),
        "failures": lambda: past.failures(None, 20),
        "running": lambda: past.running(None, 20),
        "cancel": lambda: repository.cancel([past.newest(Filter(Status.PENDING), 1)[0].id], "", 0),
        "cancel labelled": lambda: repository.cancel_matching(Filter(label="rare"), "", START),
        **claimed_verbs(repository, tokens),
        "purge old": lambda: repository.purge_old({Status.COMPLETED: 1e9}, START, 1.0),
        "histogram": lambda: buckets(repository.database, None),
        **awaited(repository, tokens),
        "one": one,
        "retry": retry,
        "retry failed": lambda: repository.fresh_starts.retry_failed(ids, START - 1e6),
        **waiting_verbs(repository),
        "through the door": lambda: repository.database.execute(
            "INSERT INTO declare (job) VALUES ('noop')"
        ),
        "through the door after others": lambda: repository.database.execute(
            "INSERT INTO declare (job, coalesce, replace, after, if_parent_fails)"
            " VALUES ('noop', 'k', 1, '[1, 2]', 'run')"
        ),
        "out of the view": lambda: repository.database.execute(
            "SELECT * FROM report WHERE id = 1"
        ).fetchall(),
    }
    for status in (Status.PENDING, Status.COMPLETED, Status.FAILED):
        found[f"purge {status}"] = partial(purge, ids, status, START - 1e6)
    filters = itertools.product((None, *Status), (None, "default"), (None, "noop"))
    for wanted, queue, name in filters:
        found[f"newest {wanted} {queue} {name}"] = partial(
            past.newest, Filter(wanted, queue, name), 20
        )
    for wish in FILTERS:
        found[f"newest {wish}"] = partial(past.newest, wish, 20)
    return found


def waiting_verbs(repository: SQLiteRepository) -> dict[str, Callable[[], object]]:
    """What is done to those that wait."""
    past = repository.history

    def declare(batch: str | None = None, **conditions: Any) -> None:
        one = asked()._replace(batch=batch, conditions=Conditions(**conditions))
        repository.declarations.add([one], START)

    def follow() -> None:
        declare(batch="rare")
        declare(after_batch="rare")
        repository.summary(None, START, "rare")
        repository.cancel_matching(Filter(batch="rare"), "", START)

    def open_ids() -> None:
        declare(batch="rare", hold=True)
        for called in (("rare", None, None), (None, "rare", None), (None, None, "rare")):
            repository.statuses(repository.open_ids(*called))
        repository.cancel_matching(Filter(batch="rare"), "", START)

    def hold_and_release() -> None:
        id = waits()
        repository.hold([id])
        repository.release([id])

    def waits() -> int:
        return past.newest(Filter(Status.PENDING), 1)[0].id

    return {
        "hold and release": hold_and_release,
        "change": lambda: repository.change([waits()], Change(due_at=START + 1), START),
        "coalesce": lambda: declare(coalesce=f"k{waits()}"),
        "depend": lambda: declare(after=(waits(),)),
        "follow": follow,
        "open ids": open_ids,
        "why": lambda: repository.conditions(waits(), START),
    }


def claimed_verbs(
    repository: SQLiteRepository, tokens: Iterator[int]
) -> dict[str, Callable[[], object]]:
    """What is done with what a worker holds."""

    def suspend_and_resume() -> None:
        repository.declarations.add([asked()], START)
        claimed = take(repository, next(tokens), 1)
        with repository.database.writing():
            repository.claims.started(claimed[0].token, [(claimed[0].id, START)], START)
        repository.suspend([claimed[0].id], START)
        repository.requests(claimed[0].token // TURNS, START)
        repository.resume([claimed[0].id])
        settle(repository, claimed, 1)

    def refuse() -> None:
        [claimed] = take(repository, next(tokens), 1)
        released = Released(counted=False, refusal=Refusal("is older", "size"))
        with repository.database.writing():
            given = [(claimed.id, claimed.lane, released)]
            repository.claims.settle(claimed.token, given, START, lambda: 0.5)

    return {"suspend and resume": suspend_and_resume, "refuse": refuse}


def awaited(repository: SQLiteRepository, tokens: Iterator[int]) -> dict[str, Callable[[], object]]:
    """What is done with jobs that wait to be resolved."""

    def park() -> int:
        [claimed] = take(repository, next(tokens), 1)
        verdict = claimed.id, claimed.lane, Parked(START, START, 5.0)
        with repository.database.writing():
            repository.claims.settle(claimed.token, [verdict], START, lambda: 0.5)
        return claimed.id

    def resolve() -> None:
        repository.resolve(park(), "1", None, START)
        with repository.database.writing():
            assert repository.awaiting.has_answers()
            repository.awaiting.answers(40 * TURNS)

    return {
        "park": park,
        "resolve": resolve,
        "time out": lambda: repository.turn(50, {}, (), None, park() * 0 + START + 5),
        "cancel awaiting": lambda: repository.cancel([park()], "", START),
    }


FILTERS = [
    Filter(batch="rare"),
    Filter(label="rare"),
    Filter(label="none", error="x"),
    Filter(since=START + 1, until=START + 2),
    Filter(until=START - 1e6),
    Filter(error="nothing like it"),
]
VERBS = [
    "declare", "complete", "fail", "return", "tell", "recover", "waiting", "next due", "tallies",
    "tallies of one", "due since", "histogram", "failures", "running", "one", "retry", "cancel",
    "cancel labelled", "suspend and resume", "refuse", "purge old", "park", "resolve", "time out",
    "cancel awaiting",
    "retry failed", "through the door", "through the door after others", "out of the view",
    "hold and release", "change", "coalesce", "depend", "follow", "why",
    "open ids",
    *(f"newest {wish}" for wish in FILTERS),
    *(f"purge {status}" for status in ("pending", "completed", "failed")),
    *(
        f"newest {status} {queue} {name}"
        for status in (None, *Status) for queue in (None, "default") for name in (None, "noop")
    ),
]  # fmt: skip


def filled(path: Path, count: int) -> SQLiteRepository:
    """A file with so many jobs of each status that a worker does not hold, and three that one does.

    Jobs of the past are written by SQL, in a moment.
    """
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)
    repository.catalog.record("", {}, (), [SPEC])
    repository.declarations.add([asked()] * 3, START)
    take(repository, TURNS)
    repository.declarations.add([asked() for _ in range(count)], START)
    [lane] = repository.lanes.matching(None, None)
    database = repository.database
    with database.writing():
        database.execute(
            "INSERT INTO declaration (lane, declared_at, due_at, payload, retries, retry_after)"
            " SELECT lane, declared_at, due_at, payload, 0, 10 FROM declaration"
            " WHERE id BETWEEN 4 AND 3 + ?",
            (count,),
        )
        database.execute(
            "INSERT INTO awaiting (declaration, lane, started_at, since, until)"
            " SELECT id, lane, due_at, due_at, due_at + 1e6 FROM declaration"
            " ORDER BY id DESC LIMIT ?",
            (count,),
        )
        database.execute(
            "UPDATE lane SET processing = processing + ?1, awaiting = ?1 WHERE id = ?2",
            (count, lane),
        )
        for code, column in ((1, "completed"), (2, "failed")):
            database.execute(
                "INSERT INTO declaration (lane, status, declared_at, due_at, payload, retries,"
                " retry_after, attempt, started_at, finished_at)"
                " SELECT lane, ?, declared_at, due_at, payload, 0, 10, 1, due_at, due_at + id"
                " FROM declaration WHERE id BETWEEN 4 AND 3 + ?",
                (code, count),
            )
            database.execute(f"UPDATE lane SET {column} = ? WHERE id = ?", (count, lane))
        database.execute(
            "INSERT INTO attempt SELECT id, 1, 1, started_at, finished_at, 0, 'no', NULL, NULL"
            " FROM declaration WHERE status = 2"
        )
    return repository


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteRepository]:
    repository = filled(tmp_path_factory.mktemp("small") / "q.db", 300)
    yield repository
    repository.close()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists look one by one at the newest hundred only, not at as many as a test's file holds."""
    monkeypatch.setattr(history, "EXACT_ROWS", 100)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteRepository]:
    repository = filled(tmp_path_factory.mktemp("large") / "q.db", 15_000)
    yield repository
    repository.close()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("narrow")
def test_no_statement_of_a_verb_goes_through_all_declarations(
    small: SQLiteRepository, verb: str
) -> None:
    seen = statements(small, verbs(small)[verb])
    assert seen
    explained = {
        text: [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {text}")]
        for text in seen
    }
    for text, plan in explained.items():
        for step in plan:
            if step == "SCAN d" and "CO-ROUTINE d" in plan:
                continue  # a part of the file, which has a limit
            if re.search(r"ORDER BY d\.id DESC LIMIT", text):
                continue  # reads ids backwards and stops at its limit; measured below
            if "EXISTS (SELECT 1 FROM step" in text and step.startswith("SCAN step USING"):
                continue  # stops at the first
            assert not re.match(r"SCAN (declaration|d|pending|p|attempt|step)\b", step), text


def test_a_claim_reads_its_lane_in_the_order_of_the_index_and_sorts_nothing(
    small: SQLiteRepository,
) -> None:
    seen = statements(small, verbs(small)["complete"])
    [ready] = [text for text in seen if "FROM pending AS p" in text]
    plan = [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {ready}")]
    assert plan == [
        "SEARCH p USING PRIMARY KEY (lane=? AND due_at<?)",
        "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_lists_of_ended_jobs_come_from_their_index_in_order(
    small: SQLiteRepository, status: Status
) -> None:
    seen = statements(small, lambda: small.history.newest(Filter(status), 500))
    query, *_ = [text for text in seen if "finished_at DESC" in text]
    plan = [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert plan[0].startswith("SEARCH d USING INDEX settled (lane=? AND status=?")
    assert not any(step.startswith("USE TEMP B-TREE") for step in plan)


def cost(repository: SQLiteRepository, action: Callable[[], object]) -> int:
    """How many hundreds of steps SQLite takes for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = repository.database.connection
    connection.set_progress_handler(count, 100)
    try:
        action()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def test_many_statuses_are_read_by_one_query(small: SQLiteRepository) -> None:
    assert len(statements(small, lambda: small.statuses(range(1, 200)))) == 1


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("narrow")
def test_a_verb_costs_no_more_in_a_file_with_fifty_times_the_jobs(
    small: SQLiteRepository, large: SQLiteRepository, verb: str
) -> None:
    less, more = (cost(repository, verbs(repository)[verb]) for repository in (small, large))
    # The window may be gone through to its end in the one, and not in the other.
    assert more <= 1.5 * less + 30
