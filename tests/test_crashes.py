"""Workers that are killed, and workers that are told to stop: nothing is lost, nothing doubled."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja.errors import Busy, TryAgain
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.watch import Watch
from prokerja.verdicts import Completed
from prokerja.worker.duties.recovery import Recovery
from prokerja.worker.wire.journal import Journal
from prokerja.worker_events import Event, JobsRecovered, JobsSettled, LockLeft
from tests.crash import newer
from tests.crash.work import take
from tests.harness.processes import gone, kill
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.harness.home import Home

DIED = "its worker died while the job was running"

WITH_CHILDREN = """
subprocess.Popen(["sh", "-c", f"while :; do echo tick >> {LEDGER}; sleep 0.01; done"])
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for("never")
note(f"begin {os.getpid()}")
wait_for("gate")
note("end")
"""

SLOW_QUESTION = """
import fcntl, sys
from prokerja.repository.sqlite import lock

flock = fcntl.flock

def slowly(descriptor, operation):
    flock(descriptor, operation)
    print("knows", flush=True)
    sys.stdin.readline()

fcntl.flock = slowly
print("asks", flush=True)
while lock.held(sys.argv[1]):
    pass
print("has an answer", flush=True)
"""
"""Asks whether a worker lives, over and over, and is held up once it finds that it does not."""


KILLER = {
    "worker": """
note('last')
if open(LEDGER).read().count('last') == 1:
    os.kill(supervisor(), signal.SIGKILL)
    wait_for('never')
""",
    "realizer": "note('last'); os.kill(os.getpid(), signal.SIGKILL)",
}


def begun(home: Home) -> int:
    return sum(line.startswith("begin") for line in home.ledger())


def begun_again(home: Home, id: int, times: int) -> bool:
    return begun(home) == times and home.running(id)


def done(home: Home) -> bool:
    counts = home.counts()
    return counts["pending"] + counts["processing"] == 0


def written_or_done(home: Home, lines: int) -> bool:
    return len(home.ledger()) >= lines or done(home)


def without_attempt(home: Home, ids: Iterable[int]) -> set[tuple[str, int, int]]:
    """Status, attempts and free returns of these jobs, each combination once."""
    jobs = map(home.job, ids)
    return {(job["status"], job["attempts"], job["returns"]) for job in jobs}


# Killed


@pytest.mark.parametrize("whole", [False, True], ids=["supervisor", "everything"])
def test_when_a_worker_is_killed_its_children_end_and_the_next_one_runs_the_job_again(
    home: Home, whole: bool
) -> None:
    id = home.run(WITH_CHILDREN)
    worker = home.worker()
    wait_until(lambda: begun(home) and "tick" in home.ledger() and home.running(id))
    family = worker.family()
    assert len(family) >= 4
    if whole:
        kill(family)
    worker.kill()
    wait_until(lambda: all(map(gone, family)), SOON)
    written = home.ledger()

    again = home.worker().ready()
    wait_until(lambda: begun(home) == 2, SOON)
    assert "end" not in home.ledger()
    assert home.ledger()[: len(written)] == written
    home.open("gate")
    home.wait(id)
    job = home.ask("report:job", id)
    assert job["attempts"] == 2
    assert [attempt["error"] for attempt in job["history"]] == [DIED, None]
    assert "put back what it held" in again.said()


def test_jobs_that_a_killed_worker_had_not_started_have_used_no_attempt(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    worker.stopped_realizer()
    ids = home.run_each(f"note({n})" for n in range(30))
    wait_until(home.several_in_hand)
    claimed = [id for id in ids if home.job(id)["status"] == "processing"]
    worker.kill()
    assert home.ledger() == []
    home.work()
    assert Counter(home.ledger()) == Counter(map(str, range(30)))
    for id in ids:
        job = home.job(id)
        assert (job["status"], job["attempts"]) == ("completed", 1)
        assert job["returns"] == int(id in claimed)
        assert [attempt["error"] for attempt in job["history"]] == [None]


@pytest.mark.parametrize("victim", ["worker", "realizer"])
def test_what_had_ended_when_its_process_was_killed_is_not_repeated(
    home: Home, victim: str
) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    well, ill, parent, killer = home.run_each(
        [
            "note('well'); return 'well'",
            "note('ill'); raise ValueError('ill')",
            "note('parent'); self.declare(Run(code='note(\"child\")'))",
            KILLER[victim],
        ]
    )
    wait_until(home.several_in_hand)
    worker.send(signal.SIGSTOP)  # so that nothing it is told is written down
    realizer.resume()
    wait_until(partial(gone, realizer))
    worker.send(signal.SIGCONT)
    again = home.work()
    times = {"worker": 2, "realizer": 1}[victim]
    assert Counter(home.ledger()) == Counter(["well", "ill", "parent", "child", *["last"] * times])
    assert home.job(well)["result"] == "well"
    assert home.job(ill)["error"] == "ValueError: ill"
    assert without_attempt(home, [well, parent]) == {("completed", 1, 0)}
    assert without_attempt(home, [ill]) == {("failed", 1, 0)}
    if victim == "worker":
        assert "put back what it held: 1 job; settled what it had ended: 3 jobs" in again.said()
        assert f"job {ill} run: attempt 1 failed, for good: ValueError: ill" in again.said()
    else:
        assert "SIGKILL" in home.job(killer)["error"]


def test_jobs_that_a_stuck_realizer_does_not_start_go_to_a_fresh_one_unharmed(home: Home) -> None:
    worker = home.worker().ready()
    stuck = worker.stopped_realizer()
    ids = home.run_each(f"note({n})" for n in range(5))
    wait_until(lambda: done(home))
    assert set(home.statuses(ids)) == {"completed"}
    assert {home.job(id)["attempts"] for id in ids} == {1}
    assert Counter(home.ledger()) == Counter("01234")
    assert gone(stuck)


def test_jobs_behind_a_long_one_are_untouched_when_its_worker_is_killed(home: Home) -> None:
    long = home.run("note('long'); wait_for('gate')")
    rest = home.run_each(f"note({n})" for n in range(100))
    worker = home.worker()
    wait_until(lambda: home.running(long))
    worker.kill()
    assert without_attempt(home, rest) == {("pending", 0, 0)}
    home.open("gate")
    home.work()
    assert home.job(long)["attempts"] == 2
    assert without_attempt(home, rest) == {("completed", 1, 0)}
    assert Counter(home.ledger()) == Counter(["long", "long", *map(str, range(100))])


def test_a_living_worker_takes_over_from_one_that_is_killed(home: Home) -> None:
    id = home.run("note(f'begin {supervisor()}'); wait_for('gate')")
    first = home.worker()
    wait_until(lambda: home.running(id))
    second = home.worker().ready()
    wait_until(second.asleep)
    first.kill()
    wait_until(lambda: home.ledger() == [f"begin {first.pid}", f"begin {second.pid}"], SOON)
    home.open("gate")
    home.wait(id)
    assert home.job(id)["attempts"] == 2


def test_a_death_is_noticed_even_if_somebody_else_asks_at_the_same_moment(home: Home) -> None:
    id = home.run("note('begin'); wait_for('gate')")
    first = home.worker()
    wait_until(lambda: home.running(id))
    [realizer] = first.realizers()
    [path] = map(str, home.path.glob("queue.sqlite3-worker-*"))
    second = home.worker().ready()
    asking = home.python(SLOW_QUESTION, path)
    assert asking.stdout is not None
    assert asking.stdout.readline() == "asks\n"
    second.send(signal.SIGSTOP)
    first.kill()
    assert asking.stdout.readline() in ("knows\n", "has an answer\n")
    wait_until(lambda: gone(realizer))
    second.send(signal.SIGCONT)
    wait_until(second.asleep)
    asking.communicate("go on\n")
    assert asking.returncode == 0
    wait_until(lambda: begun(home) == 2, SOON)


@pytest.mark.parametrize(
    "how",
    [
        "subprocess.Popen(['sleep', '600'], start_new_session=True).pid",
        "os.system('setsid sleep 600 & echo $! > ' + os.path.join(HOME, 'pid'))",
        "daemon()",
    ],
    ids=["subprocess", "shell", "fork"],
)
def test_a_daemon_of_a_killed_workers_job_is_gone_before_the_job_runs_again(
    home: Home, how: str
) -> None:
    code = f"""
    def daemon():
        child = os.fork()
        if child == 0:
            os.setsid()
            wait_for("never")
        return child

    pid = {how}
    pid = pid or int(open(os.path.join(HOME, 'pid')).read())
    note(f"begin {{pid}}")
    wait_for("gate")
    """
    id = home.run(code)
    worker = home.worker()
    wait_until(lambda: begun(home) == 1 and home.running(id))
    worker.kill()
    [first] = home.ledger()
    home.worker()
    wait_until(lambda: begun(home) == 2)
    assert not psutil.pid_exists(int(first.split()[1]))
    home.open("gate")
    home.wait(id)


def test_a_job_that_keeps_killing_its_worker_is_set_aside(home: Home) -> None:
    id = home.run(
        """
        note("begin")
        while not os.path.exists(os.path.join(HOME, f"gate-{len(open(LEDGER).readlines())}")):
            time.sleep(0.005)
        os.kill(supervisor(), signal.SIGKILL)
        wait_for("never")
        """
    )
    for turn in range(1, 7):
        worker = home.worker()
        wait_until(partial(begun_again, home, id, turn))
        home.open(f"gate-{turn}")
        assert worker.end() == -signal.SIGKILL
    other = home.run("pass")
    home.work()
    job = home.job(id)
    assert (job["status"], job["attempts"], job["error"]) == ("failed", 6, DIED)
    assert [attempt["error"] for attempt in job["history"]] == [DIED] * 6
    assert home.job(other)["status"] == "completed"


# Several workers at once


def test_a_dead_worker_is_looked_for_again_if_the_store_was_locked(home: Home) -> None:
    told: list[Event] = []
    path = str(home.db)
    with (
        closing(SQLiteRepository(path)) as repository,
        closing(SQLiteRepository(path)) as other,
        closing(Watch(path)) as watch,
    ):
        repository.database.patience = 0.0
        recovery = Recovery(repository, 0, watch, told.append)
        recovery.run(1.0)
        id, lock = other.registry.register(os.getpid(), 0.0, 1, Taking((), ()))
        os.close(lock)
        recovery.on_write(2.0)
        with other.database.writing(), pytest.raises(Busy):
            recovery.run(2.0)
        recovery.run(2.1)
    assert told == [JobsRecovered(id, 0, 0)]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, os.unlink])
def test_whatever_stands_where_a_dead_workers_lock_was_holds_nobody_up(
    home: Home, make: Callable[[str], None]
) -> None:
    told: list[Event] = []
    with (
        closing(SQLiteRepository(str(home.db))) as repository,
        closing(Watch(str(home.db))) as watch,
    ):
        id, lock = repository.registry.register(os.getpid(), 0.0, 1, Taking((), ()))
        os.close(lock)
        path = repository.registry.lock_path(id)
        if make is not os.unlink:
            os.unlink(path)
        make(path)
        Recovery(repository, 0, watch, told.append).run(1.0)
        assert [row.id for row in repository.registry.all()] == []
    left = [LockLeft(path, "Is a directory")] if make is os.mkdir else []
    assert told == [*left, JobsRecovered(id, 0, 0)]


def test_notes_settle_nothing_but_what_a_dead_worker_still_holds(home: Home) -> None:
    told: list[Event] = []
    path = str(home.db)
    ids = home.run_each(["pass"] * 5)
    with closing(SQLiteRepository(path)) as repository, closing(Watch(path)) as watch:
        living, _ = repository.registry.register(os.getpid(), 0.0, 1, Taking((), ()))
        dead, lock = repository.registry.register(os.getpid(), 0.0, 1, Taking((), ()))
        with repository.database.writing():
            [theirs] = take(repository, living * TURNS, time.time(), 1)
            held = take(repository, dead * TURNS, time.time())
        journal = Journal(lock, 0)
        nobody = Declaration(Lane("", "", 2**63), "no JSON", math.nan, -1, math.nan, None)
        for token, id, made in (
            (dead * TURNS, held[0].id, ()),
            (dead * TURNS, held[1].id, (nobody,)),
            (dead * TURNS + 1, held[2].id, ()),
            (dead * TURNS, theirs.id, ()),
            (living * TURNS, theirs.id, ()),
            (dead * TURNS, 10**6, ()),
        ):
            journal.add(((token, id), Completed(1.0, 2.0, None, made)))
            journal.write()
        os.close(lock)
        Recovery(repository, living, watch, told.append).run(1.0)
    assert told == [JobsRecovered(dead, 1, 3), JobsSettled(1, 0)]
    assert home.statuses(ids) == ["processing", "completed", "pending", "pending", "pending"]


def test_an_idle_worker_says_why_it_leaves(home: Home) -> None:
    worker = home.worker().ready()
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert "stopping: heard SIGTERM" in worker.said()


def test_two_workers_that_race_for_ten_thousand_jobs_run_each_once(home: Home) -> None:
    home.write(
        "count.py",
        """
        import os
        from dataclasses import dataclass
        from prokerja import Job
        from jobs.run import LEDGER, supervisor

        worker = supervisor()
        ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

        @dataclass
        class Count(Job):
            n: int
            def handle(self):
                os.write(ledger, f"{self.n} {worker}\\n".encode())
        """,
    )
    workers = [home.worker("--realizers", 2) for _ in range(2)]
    for worker in workers:
        worker.ready()
    home.declare_many("count", ({"n": n} for n in range(10_000)))
    wait_until(lambda: home.counts()["completed"] == 10_000)
    for worker in workers:
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    numbers, pids = zip(*(line.split() for line in home.ledger()), strict=True)
    assert Counter(numbers) == Counter(map(str, range(10_000)))
    assert set(pids) == {str(worker.pid) for worker in workers}
    assert home.counts() == {"pending": 0, "processing": 0, "completed": 10_000, "failed": 0}


def test_workers_killed_at_random_lose_no_job_and_double_none_at_a_time(home: Home) -> None:
    chance = random.Random(20)
    ids = home.run_each(
        (
            f"note('begin {n} ' + str(os.getpid())); time.sleep({chance.uniform(0.001, 0.006)});"
            f" note('end {n} ' + str(os.getpid()))"
            for n in range(300)
        ),
        retries=50,
        retry_after=0.01,
    )
    workers = [home.worker("--realizers", 2) for _ in range(3)]
    for _ in range(8):
        goal = len(home.ledger()) + chance.randint(1, 50)
        wait_until(partial(written_or_done, home, goal))
        victim = workers.pop(chance.randrange(len(workers)))
        if chance.random() < 0.3:
            kill(victim.family())
        elif chance.random() < 0.3:
            kill(victim.realizers())
        victim.kill()
        workers.append(home.worker("--realizers", 2))
    wait_until(lambda: done(home))
    assert set(home.statuses(ids)) == {"completed"}

    at_work: dict[str, str] = {}
    ended = Counter[str]()
    for line in home.ledger():
        what, n, pid = line.split()
        if what == "begin":
            at_work[n] = pid
        else:
            assert at_work.pop(n, None) == pid, f"two realized job {n} at once"
            ended[n] += 1
    assert set(ended) == {str(n) for n in range(300)}


# Told to stop


def test_a_worker_that_is_told_to_stop_ends_its_job_and_takes_no_other(home: Home) -> None:
    long = home.run("note('long'); wait_for('gate'); note('end'); return 'done'")
    rest = home.run_each(["note('rest')"] * 30)
    worker = home.worker()
    wait_until(lambda: home.running(long))
    worker.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.said())
    home.run("note('late')", priority=100)
    home.open("gate")
    assert worker.end() == 0
    assert home.ledger() == ["long", "end"]
    job = home.job(long)
    assert (job["status"], job["result"], job["attempts"]) == ("completed", "done", 1)
    assert without_attempt(home, rest) == {("pending", 0, 0)}
    assert home.counts()["processing"] == 0


def test_jobs_in_hand_that_have_not_started_go_back_without_an_attempt(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    ids = home.run_each(f"note({n})" for n in range(30))
    wait_until(home.several_in_hand)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.said() and worker.asleep())
    realizer.resume()
    assert worker.end() == 0
    assert home.ledger() == []
    assert without_attempt(home, ids) == {("pending", 0, 0)}


@pytest.mark.parametrize(
    ("words", "signals"),
    [
        (("--grace", "0.2s"), [signal.SIGTERM]),
        (("--grace", "0s"), [signal.SIGQUIT]),
        ((), [signal.SIGINT, signal.SIGINT]),
        ((), [signal.SIGTERM, signal.SIGINT]),
    ],
    ids=["short grace", "no grace", "two interrupts", "TERM and interrupt"],
)
def test_a_job_that_cannot_be_waited_for_is_given_back(
    home: Home, words: tuple[str, ...], signals: list[signal.Signals]
) -> None:
    id = home.run("note(subprocess.Popen(['sleep', '600']).pid); wait_for('gate')")
    rest = home.run_each(["pass"] * 5)
    worker = home.worker(*words)
    wait_until(lambda: home.running(id))
    family = worker.family()
    for number in signals:
        worker.send(number)
        wait_until(lambda: "stopping" in worker.said())
    assert worker.end(10) == 0
    assert all(map(gone, family))
    assert without_attempt(home, range(id, id + 1)) == {("pending", 0, 1)}
    assert without_attempt(home, rest) == {("pending", 0, 0)}
    home.open("gate")
    home.work()
    assert home.counts()["completed"] == 6
    assert home.job(id)["attempts"] == 1


def test_a_worker_that_is_told_to_stop_before_it_is_ready_leaves_in_good_order(home: Home) -> None:
    home.write("slow.py", "from jobs.run import *\nnote('loading')\nwait_for('gate')")
    id = home.run("note('ran')")
    worker = home.worker("--realizers", 2)
    wait_until(lambda: home.ledger().count("loading") == 2)
    family = worker.family()
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert all(map(gone, family))
    assert without_attempt(home, range(id, id + 1)) == {("pending", 0, 0)}
    assert home.ask("report")["workers"] == []


@pytest.mark.parametrize("realizers", [1, 2], ids=["full", "with room"])
def test_a_worker_stops_when_a_newer_program_migrates_its_file(home: Home, realizers: int) -> None:
    long = home.run("note('long'); wait_for('gate'); return 'done'")
    worker = home.worker("--realizers", realizers).ready()
    wait_until(lambda: home.running(long))
    newer.migrate(str(home.db))
    wait_until(lambda: f"stopping: {home.db} was written by a newer prokerja" in worker.said())
    assert home.ledger() == ["long"]
    home.open("gate")
    assert worker.end() == TryAgain.exit_code
    job = home.job(long)
    assert (job["status"], job["result"], job["attempts"]) == ("completed", "done", 1)
    assert home.counts()["processing"] == 0


def test_an_idle_worker_is_woken_by_a_migration_and_leaves(home: Home) -> None:
    worker = home.worker().ready()
    wait_until(worker.asleep)
    family = worker.family()
    newer.migrate(str(home.db))
    assert worker.end(SOON) == TryAgain.exit_code
    assert all(map(gone, family))
    assert "this one knows" in worker.said()
    assert "worker stopped: 0 attempts completed" in worker.said()
    assert [path.name for path in home.path.glob("queue.sqlite3-worker-*")] == []


def test_a_worker_that_leaves_to_a_newer_program_leaves_the_dead_to_it_too(home: Home) -> None:
    long = home.run("note('long'); wait_for('gate')")
    worker = home.worker()
    wait_until(lambda: home.running(long))
    other = home.worker().ready()
    held = home.run("note('held'); wait_for('never')")
    wait_until(lambda: home.running(held))
    other.send(signal.SIGSTOP)
    newer.migrate(str(home.db))
    wait_until(lambda: "stopping" in worker.said())
    other.kill()
    home.open("gate")
    assert worker.end() == TryAgain.exit_code
    assert home.statuses([long, held]) == ["completed", "processing"]
    assert home.ledger() == ["long", "held"]


def test_a_worker_that_was_told_to_stop_ends_well_in_a_file_that_is_newer_now(home: Home) -> None:
    long = home.run("note('long'); wait_for('gate'); self.declare(Run('pass'))")
    rest = home.run_each(["note('rest')"] * 30)
    worker = home.worker()
    wait_until(lambda: home.running(long))
    worker.send(signal.SIGTERM)
    wait_until(lambda: "stopping: heard SIGTERM" in worker.said())
    newer.migrate(str(home.db))
    home.open("gate")
    assert worker.end() == 0
    assert home.ledger() == ["long"]
    assert without_attempt(home, rest) == {("pending", 0, 0)}
    assert home.counts() == {"pending": 31, "processing": 0, "completed": 1, "failed": 0}


def test_a_second_interrupt_ends_a_worker_that_can_write_nothing(home: Home) -> None:
    id = home.run("wait_for('gate')")
    worker = home.worker()
    wait_until(lambda: home.running(id))
    size = os.stat(f"{home.db}-wal").st_size  # as on a full disk, with room for words
    psutil.Process(worker.pid).rlimit(psutil.RLIMIT_FSIZE, (size, size))
    worker.send(signal.SIGINT)
    home.open("gate")
    wait_until(lambda: not worker.realizers())
    assert worker.process.poll() is None
    worker.send(signal.SIGINT)
    assert worker.end() == 75
    assert "trying again" in worker.said()
    assert home.job(id)["status"] == "processing"
    home.work()
    assert home.job(id)["status"] == "completed"


def test_an_idle_worker_leaves_at_once_and_leaves_nothing_behind(home: Home) -> None:
    worker = home.worker("--realizers", 2).ready()
    family = worker.family()
    worker.send(signal.SIGTERM)
    assert worker.end(SOON) == 0
    assert all(map(gone, family))
    assert home.ask("report")["workers"] == []
    assert [path.name for path in home.path.glob("queue.sqlite3-worker-*")] == []
    assert "worker stopped: 0 attempts completed, 0 failed" in worker.said()
