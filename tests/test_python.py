"""The Python side: queues and workers inside somebody's own program."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import prokerja
from prokerja import Job, Queue, Worker
from prokerja.declaring import of_job
from prokerja.errors import (
    BadOption,
    BadPayload,
    CatalogError,
    RequestError,
    StoreError,
    TryAgain,
)
from prokerja.report import record_json
from prokerja.worker_events import JobFailed, JobsSettled, WorkerStarted, WorkerStopped
from tests.crash import newer
from tests.harness.home import inside
from tests.harness.home import request as asked
from tests.harness.waiting import PATIENCE, SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from prokerja.worker_events import Event
    from tests.harness.home import Home


@dataclass
class Greet(Job):
    name: str = "you"

    queue = "greetings"
    priority = 7
    retries = 2
    retry_after = 30
    timeout = 120

    def handle(self) -> str:
        return f"hello {self.name}"


@dataclass
class Plain(Job):
    n: int = 0

    def handle(self) -> int:
        return self.n


SHOP = """
import os, time
from dataclasses import dataclass
from prokerja import Job

@dataclass
class Double(Job):
    n: int
    def handle(self):
        if self.n < 0:
            raise ValueError("negative")
        return 2 * self.n

class Outer:
    @dataclass
    class Wait(Job):
        gate: str
        def handle(self):
            open(self.gate + "-begun", "w").close()
            while not os.path.exists(self.gate):
                time.sleep(0.005)

class Bare:
    def __init__(self, **words):
        self.words = words
    def payload(self):
        return self.words
    def handle(self):
        return sorted(self.words)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the program, with jobs in it."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    module = import_module("shop")
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


@pytest.fixture
def memory() -> Iterator[Queue]:
    queue = Queue(":memory:")
    yield queue
    queue.close()


def look(queue: Queue, id: int) -> dict[str, Any]:
    """A job as lists show it, and its result as it is stored."""
    record = queue.detail(id).record
    return {**record_json(record), "result": record.result}


def in_background(worker: Worker) -> tuple[threading.Thread, list[str]]:
    """Run a worker in a thread; the list gets what `run()` returns."""
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(worker.run()), daemon=True)
    thread.start()
    return thread, reasons


# Declaring


def test_a_job_is_declared_as_its_class_asks(home: Home) -> None:
    before = time.time()
    id = home.queue.declare(Greet("Ann"))
    job = home.job(id)
    assert (job["job"], job["queue"], job["priority"]) == ("greet", "greetings", 7)
    assert (job["retries"], job["retry_after"], job["timeout"]) == (2, 30.0, 120.0)
    assert job["payload"] == {"name": "Ann"}
    declared = datetime.fromisoformat(job["declared_at"])
    assert before - 0.001 <= declared.timestamp() <= time.time()
    assert job["due_at"] == job["declared_at"]


def test_what_the_caller_asks_for_goes_before_what_the_class_asks_for(home: Home) -> None:
    id = home.queue.declare(
        Greet(), queue="other", priority=-3, retries=0, retry_after=0.5, timeout=1.5
    )
    job = home.job(id)
    assert (job["queue"], job["priority"], job["retries"]) == ("other", -3, 0)
    assert (job["retry_after"], job["timeout"]) == (0.5, 1.5)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"delay": 90}, 90.0),
        ({"delay": 0.5}, 0.5),
        ({"at": lambda now: now + 60}, 60.0),
        ({"at": lambda now: int(now) + 61}, 60.5),
        ({"at": lambda now: datetime.fromtimestamp(now + 60, UTC)}, 60.0),
        ({"at": lambda now: datetime.fromtimestamp(now + 60)}, 60.0),  # noqa: DTZ006
        ({"at": lambda now: datetime.now(UTC) - timedelta(days=1)}, 0.0),
        ({"at": 0}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_job_can_be_due_later(home: Home, option: dict[str, Any], expected: float) -> None:
    now = time.time()
    given = {key: value(now) if callable(value) else value for key, value in option.items()}
    job = home.job(home.queue.declare(Plain(), **given))
    due = datetime.fromisoformat(job["due_at"]).timestamp()
    assert due - now == pytest.approx(expected, abs=SOON if expected == 0.0 else 0.6)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": 1, "at": 5},
        {"delay": "1"},
        {"at": "tomorrow"},
        {"at": float("nan")},
        {"priority": 1001},
        {"priority": 1.5},
        {"retries": -1},
        {"retries": True},
        {"retry_after": float("inf")},
        {"timeout": 0},
        {"queue": ""},
        {"queue": "two\nlines"},
        {"queue": ["a", "list"]},
        {"colour": "red"},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(home: Home, options: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        home.queue.declare(Plain(), **options)
    assert all(key in str(caught.value) for key in options if key != "at")
    assert sum(home.counts().values()) == 0


@pytest.mark.parametrize(
    "job", [object(), 5, None, "noop", Plain], ids=lambda job: type(job).__name__
)
def test_what_is_no_job_is_refused(home: Home, job: Any) -> None:
    with pytest.raises(RequestError):
        home.queue.declare(job)
    assert sum(home.counts().values()) == 0


@pytest.mark.parametrize(
    "payload",
    [{1, 2}, object(), float("inf"), "x" * 2**21],
    ids=lambda payload: type(payload).__name__,
)
def test_a_payload_that_is_not_json_is_refused(home: Home, payload: Any) -> None:
    with pytest.raises(BadPayload):
        home.queue.declare(Greet(payload))
    assert sum(home.counts().values()) == 0


def test_many_jobs_are_declared_in_order(home: Home) -> None:
    ids = home.queue.declare_many((Plain(n) for n in range(12_000)), priority=1, delay=60)
    assert len(ids) == 12_000
    assert [home.job(ids[n])["payload"]["n"] for n in (0, 1, 5000, -1)] == [0, 1, 5000, 11_999]
    assert home.job(ids[7])["priority"] == 1
    assert home.queue.declare_many([]) == range(ids[-1] + 1, ids[-1] + 1)
    assert home.counts()["pending"] == 12_000


@pytest.mark.parametrize("bad", [object(), Greet(object())])  # type: ignore[arg-type]
def test_of_many_jobs_none_is_declared_if_one_is_bad(home: Home, bad: Any) -> None:
    with pytest.raises(RequestError):
        home.queue.declare_many([Plain(1), Plain(2), bad])
    assert sum(home.counts().values()) == 0
    assert home.queue.declare(Plain(3)) > 0


def test_of_many_jobs_none_is_declared_if_their_source_breaks(home: Home) -> None:
    def source() -> Iterator[Job]:
        for n in range(6000):
            yield Plain(n)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        home.queue.declare_many(source())
    assert sum(home.counts().values()) == 0


@pytest.mark.parametrize("count", [2, 2500])
def test_the_source_of_many_jobs_may_declare_others_by_itself(home: Home, count: int) -> None:
    def source() -> Iterator[Job]:
        for n in range(count):
            home.queue.declare(Plain(-n))
            yield Plain(n)

    ids = home.queue.declare_many(source())
    assert ids == range(count + 1, 2 * count + 1)
    assert [home.job(ids[n])["payload"]["n"] for n in (0, -1)] == [0, count - 1]
    assert home.counts()["pending"] == 2 * count


@pytest.mark.parametrize("before", [0, 2500])
def test_nobody_waits_for_a_slow_source_of_many_jobs(home: Home, before: int) -> None:
    arrived, others = threading.Event(), list[Any]()

    def source() -> Iterator[Job]:
        yield from map(Plain, range(before))
        arrived.set()
        # Another thread of this queue, another connection, and a worker in another process.
        thread.join(PATIENCE)
        with closing(Queue(home.db)) as other:
            others.append(other.declare(asked("run", code="return 7")))
        home.work()
        yield Plain(-1)

    def from_another_thread() -> None:
        arrived.wait(PATIENCE)
        others.append(home.queue.declare(asked("run", code="return 8")))

    thread = threading.Thread(target=from_another_thread)
    thread.start()
    ids = home.queue.declare_many(source())
    assert ids == range(3, 3 + before + 1)
    assert [home.job(id)["result"] for id in (1, 2)] == [8, 7]


def test_the_default_queue_is_the_file_that_the_settings_name(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_DB", str(home.db))
    first = prokerja.declare(Plain(1), priority=2)
    rest = prokerja.declare_many([Plain(2), Plain(3)])
    assert [first, *rest] == [1, 2, 3]
    assert [home.job(id)["payload"] for id in (1, 2, 3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_failed_job_is_given_a_fresh_start(home: Home) -> None:
    id = home.run("wait_for('gate') if os.path.exists(os.path.join(HOME, 'gate')) else 1 / 0")
    home.work()
    assert home.job(id)["status"] == "failed"
    home.queue.retry(id)
    home.open("gate")
    assert home.job(id)["status"] == "pending"
    home.work()
    job = home.job(id)
    assert (job["status"], job["attempts"], job["error"]) == ("completed", 2, None)
    with pytest.raises(RequestError, match="has not failed"):
        home.queue.retry(id)


# Inside a transaction of one's own


@pytest.fixture(params=["legacy", "explicit"])
def begin(request: pytest.FixtureRequest, home: Home) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Opens the queue's file as a program would that keeps a table of its own there."""
    home.queue.declare(Plain(0), queue="first")
    level: Any = "DEFERRED" if request.param == "legacy" else None
    connection = sqlite3.connect(home.db, isolation_level=level, timeout=0.05)
    connection.execute("CREATE TABLE own (n INTEGER)")

    def begin() -> sqlite3.Connection:
        if level is None:
            connection.execute("BEGIN")
        return connection

    with closing(connection):
        yield begin


def own(home: Home) -> list[int]:
    with closing(sqlite3.connect(home.db)) as database:
        return [n for (n,) in database.execute("SELECT n FROM own")]


def test_a_job_declared_through_a_connection_exists_once_its_transaction_commits(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    connection = begin()
    id = home.queue.declare(Greet("Ann"), connection=connection, delay=60)
    connection.execute("INSERT INTO own VALUES (1)")
    other = home.queue.declare(Plain(2), connection=connection)
    assert connection.in_transaction
    assert home.counts()["pending"] == 1
    connection.commit()
    assert home.counts()["pending"] == 3
    assert home.job(id)["payload"] == {"name": "Ann"}
    assert (home.job(id)["queue"], home.job(other)["queue"]) == ("greetings", "default")
    assert own(home) == [1]
    assert home.queue.declare(Plain(3)) > other


def test_a_job_declared_through_a_connection_is_undone_with_its_transaction(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    connection = begin()
    connection.execute("INSERT INTO own VALUES (1)")
    home.queue.declare(Plain(1), connection=connection)
    connection.rollback()
    assert (home.counts()["pending"], own(home)) == (1, [])

    connection = begin()
    connection.execute("INSERT INTO own VALUES (2)")
    connection.execute("SAVEPOINT inner")
    home.queue.declare(Plain(2), connection=connection, queue="new")
    connection.execute("ROLLBACK TO inner")
    connection.commit()
    assert (home.counts()["pending"], own(home)) == (1, [2])
    assert [tally.queue for tally in home.queue.summary().queues] == ["first"]


def test_declaring_through_a_connection_waits_for_who_writes_just_then(home: Home) -> None:
    home.queue.declare(Plain(0))
    held, asked_for = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(Queue(home.db)) as other, inside(other).database.writing():
            inside(other).declarations.insert([of_job(Plain(1), 0.0)], 0.0)
            held.set()
            assert asked_for.wait(PATIENCE)

    def heed(statement: str) -> None:
        if statement.lstrip().startswith(("INSERT", "UPDATE")):
            asked_for.set()

    with (
        ThreadPoolExecutor() as pool,
        closing(sqlite3.connect(home.db, isolation_level=None, timeout=PATIENCE)) as connection,
    ):
        holding = pool.submit(hold)
        assert held.wait(PATIENCE)
        connection.set_trace_callback(heed)
        connection.execute("BEGIN")
        assert home.queue.declare(Plain(2), connection=connection) == 3
        connection.execute("COMMIT")
        holding.result()
    assert home.counts()["pending"] == 3


def test_a_worker_runs_what_was_declared_through_a_connection(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    home.worker().ready()
    connection = begin()
    id = home.queue.declare(asked("run", code="note('here')"), connection=connection)
    assert home.ledger() == []
    connection.commit()
    wait_until(lambda: home.ledger() == ["here"], SOON)
    home.wait(id)


def test_declaring_through_a_connection_leaves_its_ways_alone(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    connection = begin()
    connection.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    connection.text_factory = bytes
    home.queue.declare(Plain(1), connection=connection)
    connection.commit()
    assert connection.execute("SELECT 'a' AS n").fetchone() == {"n": b"a"}
    assert home.counts()["pending"] == 2


def test_a_locked_file_is_reported_as_such_through_a_connection(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    connection = begin()
    began = time.monotonic()
    with inside(home.queue).database.writing(), pytest.raises(TryAgain):
        home.queue.declare(Plain(1), connection=connection)
    waited = time.monotonic() - began
    assert waited < 10, "the connection says itself how long it is willing to wait"


def test_a_connection_in_autocommit_mode_is_refused(home: Home) -> None:
    home.queue.declare(Plain(1))
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        with pytest.raises(RequestError, match="BEGIN"):
            home.queue.declare(Plain(2), connection=connection)
        assert not connection.in_transaction
    assert home.counts()["pending"] == 1


@pytest.mark.parametrize("place", ["other.db", ":memory:"])
def test_a_connection_to_another_file_is_refused(home: Home, place: str) -> None:
    home.queue.declare(Plain(1))
    path = place if place == ":memory:" else str(home.path / place)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN")
        with pytest.raises(RequestError, match="one file"):
            home.queue.declare(Plain(2), connection=connection)


def test_a_connection_to_a_file_that_a_newer_program_has_migrated_is_refused(
    home: Home, begin: Callable[[], sqlite3.Connection]
) -> None:
    connection = begin()
    connection.rollback()
    newer.migrate(str(home.db))
    with pytest.raises(StoreError, match="newer prokerja"):
        home.queue.declare(Plain(1), connection=begin())
    connection.rollback()
    assert home.counts()["pending"] == 1


def test_a_connection_by_another_path_to_the_same_file_is_accepted(home: Home) -> None:
    link = home.path / "link"
    link.symlink_to(home.path)
    with closing(Queue(link / "queue.sqlite3")) as queue:
        queue.declare(Plain(1))
        with closing(sqlite3.connect(home.db)) as connection:
            queue.declare(Plain(2), connection=connection)
            connection.commit()
    assert home.counts()["pending"] == 2


# Threads and processes


@pytest.mark.parametrize("place", ["file", "memory"])
def test_threads_share_a_queue(home: Home, memory: Queue, place: str) -> None:
    queue = memory if place == "memory" else home.queue
    ids: list[int] = []
    together = threading.Barrier(8)

    def declare() -> None:
        together.wait()
        for n in range(50):
            ids.append(queue.declare(Plain(n)))  # noqa: PERF401  appended one by one on purpose

    threads = [threading.Thread(target=declare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == list(range(1, 401))
    [tally] = queue.summary().queues
    assert tally.pending == 400


def test_processes_that_make_a_new_file_at_the_same_moment_all_succeed(home: Home) -> None:
    script = """
        import sys
        from prokerja import Queue
        from tests.harness.home import request

        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(20):
            queue = Queue(f"{sys.argv[1]}-{n}")
            print(n, queue.declare(request("noop")))
            queue.close()
        """
    processes = [home.python(script, home.db) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=PATIENCE)[0].splitlines() for process in processes]
    expected = [f"{n} {id}" for n in range(20) for id in range(1, 5)]
    assert Counter(line for lines in said for line in lines) == Counter(expected)


def test_a_forked_child_may_use_the_queue_that_it_inherits(home: Home) -> None:
    script = """
        import os, sys
        from prokerja import Queue
        from tests.harness.home import request

        queue = Queue(sys.argv[1])
        queue.declare(request("noop"))
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                for _ in range(20):
                    queue.declare(request("noop"))
                queue.close()
                os._exit(0)
            children.append(child)
        for _ in range(20):
            queue.declare(request("noop"))
        print([os.waitpid(child, 0)[1] for child in children])
        print(queue.declare(request("noop")))
        """
    said, _ = home.python(script, home.db).communicate(timeout=PATIENCE)
    assert said.splitlines() == ["[0, 0, 0]", "82"]
    assert home.counts()["pending"] == 82
    with closing(sqlite3.connect(home.db)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_a_forked_child_declares_stays_whoever_closes_the_file_meanwhile(home: Home) -> None:
    script = """
        import os, subprocess, sys
        from prokerja import Queue
        from tests.harness.home import PROGRAM, request

        queue = Queue(sys.argv[1])
        queue.declare(request("noop"))
        closed = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(closed[0], 1)
            for _ in range(3):
                queue.declare(request("noop"))
                subprocess.run([PROGRAM, "report", "--db", sys.argv[1]], stdout=sys.stderr)
            os._exit(0)
        queue.close()
        os.write(closed[1], b"x")
        print(os.waitpid(child, 0)[1])
        """
    said, _ = home.python(script, home.db).communicate(timeout=PATIENCE)
    assert said == "0\n"
    assert home.counts()["pending"] == 4


def test_a_fork_does_not_wait_for_long_for_a_thread_that_declares(home: Home) -> None:
    script = """
        import os, sqlite3, sys, threading, time
        from prokerja import Queue
        from prokerja.errors import Busy
        from tests.harness.home import request

        queue = Queue(sys.argv[1])
        other = sqlite3.connect(sys.argv[1], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=queue.declare, args=[request("noop")])
        thread.start()
        lock = queue.repository.database.lock
        while lock.acquire(blocking=False):
            lock.release()
        if os.fork() == 0:
            os._exit(0)
        print(os.wait()[1], thread.is_alive(), flush=True)
        other.execute("COMMIT")
        thread.join()
        """
    said, _ = home.python(script, home.db).communicate(timeout=PATIENCE)
    assert said == "0 True\n"
    assert home.counts()["pending"] == 1


# Workers


def test_a_queue_in_memory_is_worked_off_by_a_worker_in_the_same_process(
    memory: Queue, shop: ModuleType
) -> None:
    ids = memory.declare_many(shop.Double(n) for n in range(500))
    bad = memory.declare(shop.Double(-1))
    bare = memory.declare(shop.Bare(b=1, a=2))
    stranger = memory.declare(Plain(5))
    idle: list[int] = []
    events: list[Event] = []
    worker = Worker(
        memory, jobs=[shop.Double, shop.Bare], realizers=2, until_empty=True, on_event=events.append
    )
    assert worker.run(on_idle=lambda: idle.append(1)) == ""
    assert [look(memory, id)["result"] for id in ids] == [str(2 * n) for n in range(500)]
    assert look(memory, bad)["error"] == "ValueError: negative"
    assert look(memory, bare)["result"] == '["a","b"]'
    assert look(memory, stranger)["status"] == "pending"
    assert idle == [1]
    [started] = [event for event in events if isinstance(event, WorkerStarted)]
    assert set(started.names) == {"double", "bare"}
    [failure] = [event for event in events if isinstance(event, JobFailed)]
    assert (failure.id, failure.error) == (bad, "ValueError: negative")
    assert sum(e.completed for e in events if isinstance(e, JobsSettled)) == 501
    assert isinstance(events[-1], WorkerStopped)
    assert (events[-1].completed, events[-1].failed) == (501, 1)


def test_a_worker_tells_each_time_that_it_is_idle(memory: Queue, shop: ModuleType) -> None:
    worker = Worker(memory, jobs=[shop.Double])
    ids: list[int] = []

    def on_idle() -> None:
        if len(ids) < 5:
            ids.append(memory.declare(shop.Double(len(ids))))
        else:
            worker.stop()

    assert worker.run(on_idle=on_idle) == "was asked to stop"
    assert [look(memory, id)["result"] for id in ids] == ["0", "2", "4", "6", "8"]


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_worker_in_a_thread_runs_what_others_declare_until_it_is_told_to_stop(
    home: Home, memory: Queue, shop: ModuleType, place: str
) -> None:
    queue = memory if place == "memory" else home.queue
    worker = Worker(queue, jobs=[shop.Double, shop.Outer.Wait])
    thread, reasons = in_background(worker)
    first = queue.declare(shop.Double(1))
    wait_until(lambda: look(queue, first)["status"] == "completed")
    second = queue.declare(shop.Double(2))
    wait_until(lambda: look(queue, second)["status"] == "completed", SOON)
    gate = home.path / "gate"
    last = queue.declare(shop.Outer.Wait(str(gate)))
    wait_until((home.path / "gate-begun").exists)
    worker.stop()
    left = queue.declare(shop.Double(3))
    home.open("gate")
    thread.join(PATIENCE)
    assert reasons == ["was asked to stop"]
    statuses = [look(queue, id)["status"] for id in (first, second, last, left)]
    assert statuses == ["completed"] * 3 + ["pending"]


def test_a_worker_that_begins_during_another_threads_transaction_waits_for_its_end(
    memory: Queue, shop: ModuleType
) -> None:
    id = memory.declare(shop.Double(4))
    worker = Worker(memory, jobs=[shop.Double], until_empty=True)
    with inside(memory).database.reading():
        thread, reasons = in_background(worker)
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert reasons == [""]
    assert look(memory, id)["result"] == "8"


def test_a_worker_that_is_told_to_stop_before_it_has_begun_does_not_begin(
    memory: Queue, shop: ModuleType
) -> None:
    id = memory.declare(shop.Double(1))
    worker = Worker(memory, jobs=[shop.Double])
    worker.stop()
    thread, reasons = in_background(worker)
    thread.join(SOON)
    begun = thread.is_alive()
    worker.stop()  # or the thread would outlive this test
    thread.join(PATIENCE)
    assert not begun
    assert reasons == ["was asked to stop"]
    assert look(memory, id)["status"] == "pending"


def test_a_worker_returns_when_a_newer_program_migrates_its_file(
    home: Home, shop: ModuleType
) -> None:
    worker = Worker(home.queue, jobs=[shop.Double])
    thread, reasons = in_background(worker)
    id = home.queue.declare(shop.Double(1))
    wait_until(lambda: look(home.queue, id)["status"] == "completed")
    newer.migrate(str(home.db))
    thread.join(PATIENCE)
    [reason] = reasons
    assert reason.startswith(f"{home.db} was written by a newer prokerja")
    assert worker.exit_code == 75


def test_a_queue_goes_on_after_its_worker_has_left(memory: Queue, shop: ModuleType) -> None:
    for turn in range(3):
        id = memory.declare(shop.Double(turn))
        assert Worker(memory, jobs=[shop.Double], until_empty=True).run() == ""
        assert look(memory, id)["result"] == str(2 * turn)


def test_a_worker_takes_a_directory_of_jobs_and_leaves_after_max_jobs(home: Home) -> None:
    home.run_each([f"note({n})" for n in range(5)])
    worker = Worker(home.queue, home.jobs, max_jobs=3, queues=["default"])
    assert worker.run() == ""
    assert Counter(home.ledger()) == Counter("012")
    assert home.counts()["pending"] == 2


def test_a_class_that_no_realizer_could_import_is_refused(memory: Queue) -> None:
    @dataclass
    class Local(Job):
        def handle(self) -> None:
            pass

    with pytest.raises(CatalogError, match="module"):
        Worker(memory, jobs=[Local])


@pytest.mark.parametrize("options", [{"realizers": 0}, {"max_jobs": 0}])
def test_a_worker_that_could_do_nothing_is_refused(
    memory: Queue, shop: ModuleType, options: dict[str, int]
) -> None:
    with pytest.raises(BadOption):
        Worker(memory, jobs=[shop.Double], **options)  # type: ignore[arg-type]
