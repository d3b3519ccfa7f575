"""What a worker does for itself over a long life: purging, pauses, clocks, fresh realizers."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja import Queue, Worker, lifecycle, waiting
from prokerja.errors import TryAgain  # noqa: TC001
from prokerja.worker import supervisor
from prokerja.worker.duties import maintenance, warmth
from prokerja.worker.loop import EventLoop
from prokerja.worker.output.prefix import MAX_LINE_BYTES, LinePrefixer
from prokerja.worker.pool import in_flight
from prokerja.worker.refusals import Refusals
from tests.harness.waiting import PATIENCE, SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """For how long workers of this process have gone to sleep."""
    waits: list[float | None] = []
    wait = EventLoop.wait

    def noted(loop: EventLoop, seconds: float | None) -> None:
        waits.append(seconds)
        wait(loop, seconds)

    monkeypatch.setattr(EventLoop, "wait", noted)
    return waits


@contextmanager
def worker_of(queue: Queue, home: Home, realizers: int = 1) -> Iterator[Worker]:
    """One in a thread of this process, so that its clock and its limits can be changed."""
    worker = Worker(queue, jobs=home.jobs, realizers=realizers)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    yield worker
    worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def worker(home: Home, waits: list[float | None]) -> Iterator[Worker]:
    """The same for a whole test, which knows for how long it sleeps."""
    with worker_of(Queue(home.db), home) as worker:
        yield worker


@pytest.mark.parametrize(("kept", "purged"), [("completed", "failed"), ("failed", "completed")])
def test_an_idle_worker_deletes_jobs_that_are_older_than_the_settings_keep_them(
    home: Home, kept: str, purged: str
) -> None:
    home.in_environment({f"PROKERJA_KEEP_{purged.upper()}": "0"})
    home.run("pass")
    home.run("raise ValueError")
    home.worker().ready()
    wait_until(lambda: home.counts()["completed"] == home.counts()["failed"] == 1)
    wait_until(lambda: home.counts()[purged] == 0)
    assert home.counts()[kept] == 1


TICKING = """
import threading
import time

from jobs.run import note


def tick():
    note("tick")
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    timer = threading.Timer(0.02, tick)
    timer.daemon = True
    timer.start()


tick()
"""


def test_an_idle_realizer_is_not_blamed_for_what_its_job_files_go_on_doing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmth, "LOOK_SECONDS", 0.02)
    home.write("ticking.py", TICKING)
    with Queue(home.db) as queue, worker_of(queue, home):
        wait_until(home.ledger)
        [before] = _realizers()
        count = len(home.ledger())
        wait_until(lambda: len(home.ledger()) > count + 50)
        assert _realizers() == [before]


def _realizers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if not one.children()]


def test_an_idle_worker_does_not_wait_for_who_keeps_the_store_locked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmth, "LOOK_SECONDS", 0.02)
    looks: list[None] = []
    refused: list[None] = []
    run, pause = warmth.Warmth.run, Refusals.pause

    def looked(one: warmth.Warmth, now: float) -> None:
        run(one, now)
        looks.append(None)

    def noted(one: Refusals, error: TryAgain) -> float:
        refused.append(None)
        return pause(one, error)

    monkeypatch.setattr(warmth.Warmth, "run", looked)
    monkeypatch.setattr(Refusals, "pause", noted)
    with Queue(home.db) as queue, worker_of(queue, home):
        home.wait(home.run("pass"))
        with closing(sqlite3.connect(home.db, isolation_level=None)) as other:
            other.execute("SELECT * FROM lane").fetchall()  # its opening wakes the worker
            looks.clear()
            wait_until(lambda: len(looks) > 5)
            other.execute("BEGIN IMMEDIATE")
            refused.clear()
            looks.clear()
            wait_until(lambda: len(looks) > 5)
            assert not refused
            other.execute("ROLLBACK")


NOT_KEPT = """
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Passing(Job):
    {options}

    def handle(self):
        print("seen")
        return "done"
"""


@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_deletes_what_a_class_does_not_keep_and_its_output_a_busy_worker_too(
    home: Home, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(lifecycle, "MIN_KEPT_SECONDS", 0.3)
    monkeypatch.setattr(maintenance, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(maintenance, "BUSY_SECONDS", 0.1)
    home.write("passing.py", NOT_KEPT.format(options="keep = False"))
    with Queue(home.db) as queue, worker_of(queue, home, 2):
        if busy:
            home.run("wait_for('gate')")
        from_shell = home.declare("passing")[0]
        from_program = home.declare_job("passing")
        failing = home.run("raise ValueError")
        staying = home.run("pass")
        home.wait(staying)
        wait_until(lambda: home.look("SELECT max(id) FROM purged") == [(from_program,)])
        left = {id for (id,) in home.look("SELECT id FROM declaration")}
        assert not left & {from_shell, from_program}
        assert {failing, staying} <= left
        outputs = home.db.with_name(f"{home.db.name}-output")
        wait_until(lambda: not [*outputs.glob(f"*/{from_shell}-*")])
        told = home("wait", from_shell)
        assert (told.code, told.out) == (2, "")
        assert f"job {from_shell} has been purged" in told.err
        home.open("gate")


def test_what_is_not_kept_stays_until_whoever_waits_has_seen_it_end(home: Home) -> None:
    assert lifecycle.MIN_KEPT_SECONDS >= 2 * waiting.MAX_SLEEP_SECONDS
    home.in_environment({"PROKERJA_KEEP_COMPLETED": "0"})
    home.write("passing.py", NOT_KEPT.format(options="keep = 0"))
    home.worker().ready()
    told = home("declare:job", "passing", "--wait")
    assert (told.code, told.out) == (0, "seen\n")
    gone = home.run("pass")
    wait_until(lambda: home.look(f"SELECT id FROM declaration WHERE id = {gone}") == [])
    assert home.statuses([1]) == ["completed"]


def test_an_idle_worker_wakes_every_ten_seconds_and_no_more_often(
    home: Home, waits: list[float | None], worker: Worker
) -> None:
    home.wait(home.run("pass"))
    wait_until(lambda: waits and waits[-1] and waits[-1] > 9.9)


EMPTY_LOG_BYTES = 32 + 24 + 4096
"""As an idle worker leaves it: a header, and one page with its own."""


def test_an_idle_worker_and_a_realizer_are_kept_warm_and_write_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmth, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(maintenance, "IDLE_SECONDS", 0.0)
    with Queue(home.db) as queue, worker_of(queue, home, 2):
        home.wait(home.run("pass"))
        files = [home.db, home.db.with_name(f"{home.db.name}-wal")]
        wait_until(lambda: files[1].stat().st_size == EMPTY_LOG_BYTES)
        before = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        realizers = _realizers()

        def woken(times: int) -> list[int]:
            """How often each realizer is woken, until one of them has been so often."""
            first = [one.num_ctx_switches().voluntary for one in realizers]
            more = [0, 0]

            def count() -> bool:
                now = [one.num_ctx_switches().voluntary for one in realizers]
                more[:] = [later - sooner for sooner, later in zip(first, now, strict=True)]
                return max(more) >= times

            wait_until(count)
            return more

        wait_until(lambda: min(woken(20)) == 0)  # both have loaded the jobs
        assert [(file.stat().st_size, file.stat().st_mtime_ns) for file in files] == before
        assert home.wait(home.run("return 1"))["result"] == 1


def test_realizers_that_die_while_they_load_the_jobs_are_replaced_ever_more_slowly(
    home: Home,
) -> None:
    home.write(
        "fatal.py",
        f"""
        import os, time
        if os.path.exists({str(home.path / "fatal")!r}):
            with open({str(home.path / "ledger")!r}, "a") as file:
                file.write(f"{{time.monotonic()}}\\n")
            os._exit(3)
        """,
    )
    worker = home.worker().ready()
    home.open("fatal")
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: len(home.ledger()) == 3)
    pauses = [later - sooner for sooner, later in itertools.pairwise(map(float, home.ledger()))]
    assert pauses[0] > 1.5
    assert pauses[1] > 3.5


def test_a_clock_that_is_put_forward_makes_jobs_due_without_a_write(
    home: Home, monkeypatch: pytest.MonkeyPatch, waits: list[float | None], worker: Worker
) -> None:
    assert supervisor.RECHECK_CLOCK_SECONDS <= 60
    monkeypatch.setattr(supervisor, "RECHECK_CLOCK_SECONDS", 0.1)
    later = home.run("pass", delay=3600.0)
    home.wait(home.run("pass"))
    waits.clear()
    wait_until(lambda: waits and waits[-1] and waits[-1] >= 0.1)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    wait_until(lambda: home.statuses([later]) == ["completed"], 2 * SOON)


def test_a_queue_that_names_jobs_which_are_not_there_is_damaged(home: Home) -> None:
    home.run("pass")
    home.work()
    with closing(sqlite3.connect(home.db)) as database, database:
        database.execute("INSERT INTO pending (lane, due_at, declaration) VALUES (1, 0, 99)")
        database.execute("UPDATE lane SET pending = 1")
    worker = home.worker("--until-empty")
    assert worker.end() == 81
    assert "is damaged: it queues jobs that are not there; restore a backup" in worker.said()


def test_a_line_that_does_not_end_is_printed_piece_by_piece() -> None:
    prefixer = LinePrefixer()
    assert prefixer.feed(b"[7] ", b"x" * MAX_LINE_BYTES) == b""
    assert prefixer.feed(b"[7] ", b"y") == b"[7] " + b"x" * MAX_LINE_BYTES + b"y\n"
    assert prefixer.feed(b"[7] ", b"z") == b""
    assert prefixer.end() == b"[7] z\n"


def test_a_running_jobs_endless_line_is_seen_before_it_ends(home: Home) -> None:
    worker = home.worker("--verbose")
    id = home.run("print('x' * 50_000, end='', flush=True); wait_for('gate')")
    wait_until(lambda: worker.lines(id))
    assert home.counts()["completed"] == 0
    home.open("gate")
    home.wait(id)


def test_a_realizer_that_has_used_up_its_numbers_is_replaced_and_no_job_is_lost(
    home: Home, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(in_flight, "MAX_SEQUENCE", 3)
    processes = set()
    for _ in range(3):
        ids = home.run_each(["return os.getpid()"] * 4)
        wait_until(lambda ids=ids: set(home.statuses(ids)) == {"completed"})  # type: ignore[misc]
        processes |= {home.job(id)["result"] for id in ids}
    assert len(processes) > 1


def test_a_sleeping_worker_does_not_hold_a_stop_up(home: Home) -> None:
    worker = home.worker().ready()
    wait_until(worker.asleep)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.end() == 0
