"""Many processes at one file: they wait their turn, lose nothing, and die without a trace."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.errors import TryAgain
from prokerja.model.declaration import Declaration, Lane, Status
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite import database
from prokerja.repository.sqlite.declarations import CHUNK_ROWS
from prokerja.repository.sqlite.repository import SQLiteRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parent.parent
START = 1_900_000_000.0
LANE = Lane("default", "noop", 0)


def asked(due_at: float = 0.0) -> Declaration:
    return Declaration(LANE, "{}", due_at, 0, 10.0, None)


def child(script: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that runs a script, to talk to line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


def heard(process: subprocess.Popen[str]) -> str:
    """The next line a child says."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


def checked(path: Path) -> sqlite3.Connection:
    """The file, found whole and with each of its counts right."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counted = connection.execute(
        "SELECT id, pending, processing, completed, failed FROM lane ORDER BY id"
    ).fetchall()
    rows = connection.execute(
        """
        WITH held AS (SELECT value AS id FROM claim, json_each(claim.declarations))
        SELECT lane.id,
            count(*) FILTER (WHERE status = 0 AND d.id NOT IN held),
            count(*) FILTER (WHERE status = 0 AND d.id IN held),
            count(*) FILTER (WHERE status = 1), count(*) FILTER (WHERE status = 2)
        FROM lane LEFT JOIN declaration AS d ON d.lane = lane.id GROUP BY lane.id ORDER BY lane.id
        """
    ).fetchall()
    assert counted == rows
    lost = connection.execute(
        """
        WITH held AS (SELECT value AS id FROM claim, json_each(claim.declarations)),
        places AS (
            SELECT declaration AS id FROM pending UNION ALL SELECT id FROM held
        )
        SELECT id FROM (SELECT id FROM declaration WHERE status = 0 UNION ALL SELECT id FROM places)
        GROUP BY id HAVING count(*) <> 2
        """
    ).fetchall()
    assert lost == []
    return connection


# The crowd: fifty declare, each in its own way, four work, one purges, all at once.

CROWD = """
import itertools, json, os, random, sqlite3, sys, time
import psutil
from prokerja.repository.sqlite import claims, history, workers
import prokerja.repository.sqlite.within
from prokerja.model.declaration import Declaration, Lane, Status
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Membership, Want
from prokerja.verdicts import Completed, Failed, Released
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.within import insert_within
from prokerja.spec import JobSpec

path, seconds = sys.argv[1], float(sys.argv[2])
LANES = [Lane(queue, name, n) for queue in ("a", "b") for name in ("noop", "send") for n in (0, 5)]
ends = 0.0

def asked(chance):
    lane = chance.choice(LANES)
    return Declaration(lane, '{"n": 1}', 0.0, chance.choice([0, 1, 2]), 0.01, None)

def declarer(number):
    # By number: a connection for each, as commands do; one kept open; bulks; plain SQL; a
    # program's own transaction.
    chance, ids = random.Random(number), []
    kept = SQLiteRepository(path)
    door = sqlite3.connect(path, isolation_level=None, timeout=60)
    while not ids or time.monotonic() < ends:
        way = number % 5
        if way == 0:
            other = SQLiteRepository(path)
            ids += other.declarations.add([asked(chance)], time.time())
            other.close()
        elif way == 1:
            ids += kept.declarations.add([asked(chance)], time.time())
        elif way == 2:
            ids += kept.declarations.add([asked(chance) for _ in range(20)], time.time())
        elif way == 3:
            door.execute("BEGIN IMMEDIATE")
            insert = "INSERT INTO declare (job, payload) VALUES ('noop', '{}') RETURNING id"
            ids += door.execute(insert).fetchone()
            door.execute("COMMIT")
        else:
            door.execute("BEGIN IMMEDIATE")
            id = insert_within(door, kept.path, (asked(chance),), time.time())[0]
            if chance.random() < 0.7:
                door.execute("COMMIT")
                ids.append(id)
            else:
                door.execute("ROLLBACK")
    kept.close()
    return {"declared": ids}

def turn(repository, token, room):
    taken = []
    def choose(offered):
        some = list(itertools.islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room
    repository.claims.claiming.claim(token, Want(Taking(), choose), time.time())
    return taken

def worker(number):
    chance = random.Random(number)
    repository = SQLiteRepository(path)
    repository.database.durable(False)
    id, lock = repository.registry.register(os.getpid(), time.time(), 1, Taking((), ()))
    tokens = itertools.count(id * TURNS)
    completed, failed, retried, returned, mine, token = [], [], 0, 0, [], None
    # On a slow machine a worker goes on when the time is over, until it has done something.
    while time.monotonic() < ends or mine or len(completed) < 10:
        verdicts = []
        now = time.time()
        for claimed in mine:
            one, lane = claimed.id, claimed.lane
            kind = chance.random()
            if kind < 0.7:
                verdicts.append((one, lane, Completed(now, now, "1")))
            elif kind < 0.9:
                verdicts.append((one, lane, Failed(now, now, "no")))
            else:
                verdicts.append((one, lane, Released(counted=False)))
        with repository.database.writing():
            settle = repository.claims.settle
            attempts = settle(token, verdicts, now, chance.random) if mine else []
            token = next(tokens)
            goes_on = time.monotonic() < ends or len(completed) < 10
            mine = turn(repository, token, 50) if goes_on else []
            repository.claims.started(token, [(claimed.id, now) for claimed in mine[::3]], now)
        completed += [id for id, _, v in verdicts if isinstance(v, Completed)]
        failed += [one.id for one in attempts if one.retry_at is None]
        retried += sum(one.retry_at is not None for one in attempts)
        returned += sum(isinstance(v, Released) for _, _, v in verdicts)
    repository.registry.unregister(Membership(id, lock), 2e9)
    repository.close()
    return {"completed": completed, "failed": failed, "retried": retried, "returned": returned}

def purger(number):
    repository, purged = SQLiteRepository(path), 0
    while time.monotonic() < ends or not purged:
        with repository.database.reading():
            lanes = list(repository.lanes.matching(None, None))
            repository.lanes.tallies()
            repository.history.newest(Filter(None, "a"), 20)
        for status in (Status.COMPLETED, Status.FAILED):
            purged += repository.purging.purge(lanes, status, time.time())
    repository.close()
    return {"purged": purged}

def run(role, number):
    global ends
    os.read(go[0], 1)
    ends = time.monotonic() + seconds
    try:
        answer = role(number)
    except BaseException as error:
        answer = {"error": f"{role.__name__} {number}: {error!r}"}
    with open(f"{path}.{role.__name__}.{number}.json", "w") as file:
        json.dump(answer, file)
    os._exit(0)

first = SQLiteRepository(path)
specs = [JobSpec("noop", "a", 0, 1, 0.01, None, (), True, "/noop.py", "")]
first.catalog.record("", {}, (), specs)
first.close()
del first
go = os.pipe()
roles = [(declarer, n) for n in range(50)] + [(worker, n) for n in range(4)] + [(purger, 0)]
children = []
for role, number in roles:
    child = os.fork()
    if child == 0:
        os.close(go[1])
        run(role, number)
    children.append(child)
os.close(go[1])
for child in children:
    os.waitpid(child, 0)
"""


def test_fifty_declare_four_work_and_one_purges_at_once_and_the_ledger_is_balanced(
    path: Path, tmp_path: Path
) -> None:
    crowd = subprocess.run(
        [sys.executable, "-c", CROWD, str(path), "3"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert crowd.stderr == ""
    answers = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert len(answers) == 55
    assert [answer["error"] for answer in answers if "error" in answer] == []

    def every(key: str) -> list[int]:
        return [id for answer in answers for id in answer.get(key, ())]

    declared, completed, failed = every("declared"), every("completed"), every("failed")
    assert len(set(declared)) == len(declared) >= 240
    assert len(set(completed)) == len(completed) >= 40
    assert not set(completed) & set(failed)
    assert set(completed) | set(failed) <= set(declared)

    connection = checked(path)
    stored = dict(connection.execute("SELECT id, status FROM declaration").fetchall())
    purged = sum(answer.get("purged", 0) for answer in answers)
    assert purged > 0
    assert len(declared) == len(stored) + purged
    assert {id for id, status in stored.items() if status == 1} <= set(completed)
    assert {id for id, status in stored.items() if status == 2} <= set(failed)
    still_open = {id for id, status in stored.items() if status == 0}
    assert still_open == set(declared) - set(completed) - set(failed)
    assert connection.execute("SELECT count(*) FROM claim").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM running").fetchone() == (0,)
    connection.close()


COME_AND_GO = """
import os, sys
import psutil
from prokerja.errors import ProkerjaError
from prokerja.model.declaration import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
request = Declaration(Lane("default", "noop", 0), "{}", 0.0, 0, 1.0, None)
SQLiteRepository(sys.argv[1]).close()
for number in range(8):
    if os.fork() == 0:
        code = 1
        try:
            for _ in range(40):
                repository = SQLiteRepository(sys.argv[1])
                repository.declarations.add([request], 2e9)
                repository.close()
            code = 0
        except ProkerjaError as error:
            os.write(2, f"{error}\\n".encode())
        finally:
            os._exit(code)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_processes_that_open_declare_and_close_by_turns_never_meet_a_closed_file(
    path: Path,
) -> None:
    """The last to close a file holds it alone for a moment; who opens it then has to wait."""
    done = subprocess.run(
        [sys.executable, "-c", COME_AND_GO, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stderr == ""
    assert checked(path).execute("SELECT count(*) FROM declaration").fetchone() == (320,)


# Waiting for the lock.

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("UPDATE lane SET pending = pending")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("let go", flush=True)
"""


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file's write lock until it hears a line."""
    SQLiteRepository(str(path)).close()
    process = child(HOLD, str(path), "BEGIN IMMEDIATE")
    assert heard(process) == "held"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("verb", ["declare", "retry", "purge", "register"])
def test_a_lock_held_longer_than_our_patience_means_try_again_and_changes_nothing(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.05)
    repository = SQLiteRepository(str(path))
    verbs: dict[str, Callable[[], object]] = {
        "declare": lambda: repository.declarations.add([asked()], START),
        "retry": lambda: repository.fresh_starts.retry([1], START),
        "purge": lambda: repository.purging.purge([1], Status.COMPLETED, START),
        "register": lambda: repository.registry.register(1, START, 1, Taking((), ())),
    }
    with pytest.raises(TryAgain, match=r"locked by another process.*; try again") as caught:
        verbs[verb]()
    assert caught.value.exit_code == 75
    assert str(caught.value).startswith(f"{path} ")
    holder.communicate("go on\n")
    assert list(repository.declarations.add([asked()], START)) == [1]
    assert repository.registry.all() == []
    repository.close()


def test_a_write_waits_for_its_turn_and_then_goes_through(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    repository = SQLiteRepository(str(path))
    done: list[Sequence[int]] = []
    tried = threading.Event()

    def busy(statement: str) -> None:
        if statement.startswith("BEGIN"):
            tried.set()

    repository.database.connection.set_trace_callback(busy)
    write = threading.Thread(
        target=lambda: done.append(repository.declarations.add([asked()], START))
    )
    write.start()
    assert tried.wait(60)
    assert done == []
    holder.communicate("go on\n")
    write.join(60)
    assert done == [range(1, 2)]
    repository.close()


def test_readers_are_not_held_up_by_a_writer(path: Path, holder: subprocess.Popen[str]) -> None:
    repository = SQLiteRepository(str(path))
    with repository.database.reading():
        assert repository.lanes.tallies() == []
        assert repository.history.newest(Filter(), 10) == []
    repository.close()
    assert holder.poll() is None


def test_the_death_of_who_holds_the_lock_lets_the_next_in(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    repository = SQLiteRepository(str(path))
    assert list(repository.declarations.add([asked()], START)) == [1]
    repository.close()


def test_a_read_sees_one_moment_though_others_write(path: Path) -> None:
    one, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    one.declarations.add([asked()], START)
    with one.database.reading():
        before = one.lanes.tallies()
        other.declarations.add([asked()] * 5, START)
        assert one.lanes.tallies() == before
        assert len(one.history.newest(Filter(), 10)) == 1
    assert one.lanes.tallies()[0].pending == 6
    one.close()
    other.close()


def test_threads_that_share_a_repository_take_turns(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)
    ids: list[int] = []
    wrong: list[BaseException] = []

    def declare() -> None:
        try:
            for _ in range(30):
                ids.extend(repository.declarations.add([asked(), asked()], START))
                with repository.database.reading():
                    repository.history.newest(Filter(), 5)
        except BaseException as error:  # noqa: BLE001 - is what the test looks for
            wrong.append(error)

    threads = [threading.Thread(target=declare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(ids) == list(range(1, 481))
    repository.close()
    checked(path).close()


# Killed in the middle.

MANY = """
import sys
from dataclasses import dataclass
from prokerja import Job, Queue

@dataclass
class Noop(Job):
    n: int
    pad: str = "x" * 200
    def handle(self):
        pass

def jobs(count, stop):
    for n in range(count):
        if n == stop:
            print("in the middle", flush=True)
            sys.stdin.readline()
        yield Noop(n)

queue = Queue(sys.argv[1])
ids = queue.declare_many(jobs(int(sys.argv[2]), int(sys.argv[3])))
print(f"declared {ids[0]} to {ids[-1]}", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("written", [0, 1, CHUNK_ROWS, 60 * CHUNK_ROWS + 1])
def test_a_bulk_killed_in_the_middle_leaves_nothing(path: Path, written: int) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    process = child(MANY, str(path), str(100 * CHUNK_ROWS), str(written))
    assert heard(process) == "in the middle"
    repository.declarations.add([asked()], START)  # nobody waits for the rest of it
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [record.id for record in repository.history.newest(Filter(), 10)] == [2, 1]
    assert list(repository.declarations.add([asked()], START)) == [3]
    repository.close()
    assert checked(path).execute("SELECT count(*) FROM declaration").fetchone() == (3,)


def test_a_bulk_killed_in_the_middle_leaves_nothing_to_who_opens_the_file_later(
    path: Path,
) -> None:
    process = child(MANY, str(path), str(100 * CHUNK_ROWS), str(60 * CHUNK_ROWS))
    assert heard(process) == "in the middle"
    process.kill()
    process.communicate()
    repository = SQLiteRepository(str(path))
    assert repository.history.newest(Filter(), 10) == []
    assert list(repository.declarations.add([asked()], START)) == [1]
    repository.close()
    checked(path).close()


def test_a_bulk_that_was_acknowledged_survives_the_death_of_who_declared_it(path: Path) -> None:
    count = 2 * CHUNK_ROWS + 1
    process = child(MANY, str(path), str(count), "-1")
    assert heard(process) == f"declared 1 to {count}"
    process.kill()
    process.communicate()
    connection = checked(path)
    assert connection.execute("SELECT count(*), max(id) FROM declaration").fetchone() == (
        count,
        count,
    )
    connection.close()


MID_TURN = """
import itertools, os, sys, time
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.codes import TURNS
repository = SQLiteRepository(sys.argv[1])
id, lock = repository.registry.register(os.getpid(), 2e9, 1, Taking((), ()))
def take(token):
    taken = []
    def choose(offered):
        taken.extend(itertools.islice(offered, 10 - len(taken)))
        return list(taken), True
    repository.claims.claiming.claim(token, Want(Taking(), choose), 2e9)
    return taken
with repository.database.writing():
    first = take(id * TURNS)
    repository.claims.started(id * TURNS, [(first[0].id, 2e9)], 2e9)
with repository.database.writing():
    verdicts = [(job.id, job.lane, Completed(2e9, 2e9)) for job in first]
    repository.claims.settle(id * TURNS, verdicts, 2e9, lambda: 0.5)
    take(id * TURNS + 1)
    print("in the middle", flush=True)
    sys.stdin.readline()
"""


def test_a_worker_killed_in_the_middle_of_a_turn_has_not_turned_at_all(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked() for _ in range(30)], START)
    process = child(MID_TURN, str(path))
    assert heard(process) == "in the middle"
    [worker] = repository.registry.living()
    process.kill()
    process.communicate()
    assert repository.registry.living() == []
    [tally] = repository.lanes.tallies()
    assert tally.counts() == {"pending": 20, "processing": 10, "completed": 0, "failed": 0}
    with repository.database.writing():
        assert repository.claims.put_back(worker.id, 2e9) == 10
    [tally] = repository.lanes.tallies()
    assert tally.pending == 30
    tried = [record.attempts for record in repository.history.newest(Filter(), 100)]
    assert sorted(tried) == [0] * 29 + [1]
    repository.close()
    checked(path).close()
