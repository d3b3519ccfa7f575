"""A worker as it works: what becomes of jobs, in what order, and what they print."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import prokerja
from tests.harness.home import request
from tests.harness.processes import gone
from tests.harness.waiting import PATIENCE, SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.home import Home


STUBBORN_CHILD = """
note(subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]).pid)
""".strip()
"""Leaves the number of a process that ends by KILL only in the ledger."""


def declare_in_python(home: Home) -> None:
    home.run("note('here')")


def declare_on_the_command_line(home: Home) -> None:
    home.cli("declare:job", "run", "code=note('here')")


def declare_in_sql(home: Home) -> None:
    with closing(sqlite3.connect(home.db)) as database, database:
        row = ("run", '{"code": "note(\'here\')"}')
        database.execute("INSERT INTO declare (job, payload) VALUES (?, ?)", row)


def ran_once(home: Home, lines: list[str]) -> None:
    """Each of these lines stands in the ledger exactly once, and nothing else does."""
    assert Counter(home.ledger()) == Counter(lines)


def ended(pid: str) -> bool:
    try:
        return gone(psutil.Process(int(pid)))
    except psutil.NoSuchProcess:
        return True


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


# What comes of a job


def test_a_job_completes_with_its_result(home: Home) -> None:
    id = home.ask("declare:job", "run", 'code=return {"n": [1, "ü", None]}')["id"]
    home.work()
    job = home.ask("report:job", id)
    assert (job["status"], job["attempts"], job["error"]) == ("completed", 1, None)
    assert job["result"] == {"n": [1, "ü", None]}
    [attempt] = job["history"]
    assert attempt["error"] is None
    assert seconds(job["declared_at"]) <= seconds(attempt["started_at"])
    assert seconds(attempt["started_at"]) <= seconds(attempt["finished_at"]) <= time.time()


def test_a_job_that_raises_fails_with_its_error_and_traceback_and_is_not_tried_again(
    home: Home,
) -> None:
    home.write(
        "pay.py",
        """
        from prokerja import Job
        from dataclasses import dataclass

        @dataclass
        class Pay(Job):
            amount: int
            def handle(self):
                raise ValueError("not enough\\nmoney")
        """,
    )
    id = home.ask("declare:job", "pay", "amount=1")["id"]
    home.work()
    job = home.ask("report:job", id)
    assert (job["status"], job["attempts"], job["result"]) == ("failed", 1, None)
    assert job["error"] == "ValueError: not enough money"
    [attempt] = job["history"]
    assert attempt["error"] == job["error"]
    assert str(home.jobs / "pay.py") in attempt["traceback"]
    assert 'raise ValueError("not enough\\nmoney")' in attempt["traceback"]
    assert "realizer.py" not in attempt["traceback"]
    assert "has failed" in job["why_not_running"]


def test_a_job_is_retried_with_growing_pauses_and_keeps_every_attempt(home: Home) -> None:
    home.write(
        "shaky.py",
        """
        from jobs.run import Job, LEDGER, dataclass, note

        @dataclass
        class Shaky(Job):
            retries = 5
            retry_after = 0.1
            def handle(self):
                note("try")
                tries = len(open(LEDGER).readlines())
                if tries < 4:
                    raise OSError(f"try {tries}")
                return tries
        """,
    )
    id = home.ask("declare:job", "shaky")["id"]
    worker = home.worker()
    home.wait(id)
    job = home.ask("report:job", id)
    assert (job["attempts"], job["result"], job["error"]) == (4, 4, None)
    history = job["history"]
    assert [attempt["attempt"] for attempt in history] == [1, 2, 3, 4]
    errors = [attempt["error"] for attempt in history]
    assert errors == ["OSError: try 1", "OSError: try 2", "OSError: try 3", None]
    pauses = [
        seconds(later["started_at"]) - seconds(earlier["finished_at"])
        for earlier, later in pairwise(history)
    ]
    for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True):
        assert pause > least * 0.9 - 0.01
    assert worker.said().count("failed, again in") == 3


def test_a_job_fails_for_good_when_its_retries_are_used_up(home: Home) -> None:
    id = home.run("note('try'); raise ValueError('no')", retries=2, retry_after=0.01)
    home.worker()
    job = home.wait(id, "failed")
    assert job["attempts"] == 3
    assert [attempt["error"] for attempt in job["history"]] == ["ValueError: no"] * 3
    assert home.ledger() == ["try"] * 3


def test_a_result_that_is_not_json_fails_the_attempt(home: Home) -> None:
    codes = ["return object()", "return float('nan')", "return {1, 2}"]
    ids = home.run_each([*codes, "x = []\nx.append(x)\nreturn x", "return 'fine'"])
    home.work()
    assert home.statuses(ids) == ["failed"] * 4 + ["completed"]
    assert all("handle() returned" in home.job(id)["error"] for id in ids[:-1])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit('enough')", "SystemExit: enough"),
        ("sys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("os._exit(0)", "exit status 0"),
        ("os._exit(3)", "exit status 3"),
        ("ctypes.string_at(0)", "SIGSEGV (Segmentation fault)"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL (Killed)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM (Terminated)"),
    ],
)
def test_a_job_that_ends_its_process_fails_and_the_next_one_runs(
    home: Home, code: str, words: str
) -> None:
    before = home.run("note('before')")
    id = home.run(code)
    after = home.run("note('after')")
    home.work()
    assert home.statuses([before, id, after]) == ["completed", "failed", "completed"]
    assert words in home.job(id)["error"]
    assert home.job(id)["attempts"] == 1
    assert home.ledger() == ["before", "after"]


def test_a_job_whose_realizer_is_killed_fails_and_a_fresh_realizer_takes_its_place(
    home: Home,
) -> None:
    id = home.run("note('begun'); wait_for('never')")
    next_one = home.run("note('next')")
    worker = home.worker().ready()
    wait_until(lambda: home.ledger() == ["begun"])
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: home.statuses([id, next_one]) == ["failed", "completed"])
    assert "SIGKILL" in home.job(id)["error"]
    assert worker.process.poll() is None
    assert worker.realizers() != [realizer]


def test_an_idle_realizer_that_is_killed_is_replaced(home: Home) -> None:
    worker = home.worker().ready()
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: worker.realizers() not in ([], [realizer]))
    id = home.run("return 'well'")
    wait_until(lambda: home.job(id)["result"] == "well")


# Limits


def test_a_job_that_runs_too_long_is_ended_with_its_child_processes_and_tried_again(
    home: Home,
) -> None:
    id = home.run(f"{STUBBORN_CHILD}; wait_for('never')", timeout=0.6, retries=1, retry_after=0.01)
    next_one = home.run("note('next')")
    home.worker()
    wait_until(lambda: home.statuses([id, next_one]) == ["failed", "completed"])
    errors = [attempt["error"] for attempt in home.job(id)["history"]]
    assert errors == ["ran longer than 0.6 s"] * 2
    children = [line for line in home.ledger() if line != "next"]
    assert len(children) == 2
    wait_until(lambda: all(map(ended, children)), SOON)


def test_a_job_that_ignores_the_end_of_its_time_is_killed_with_its_child_processes(
    home: Home,
) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: note('heard TERM'))"
    id = home.run(f"{code}; {STUBBORN_CHILD}; wait_for('never')", timeout=0.6)
    home.worker()
    job = home.wait(id, "failed")
    assert job["error"] == "ran longer than 0.6 s"
    [attempt] = job["history"]
    assert 5 < seconds(attempt["finished_at"]) - seconds(attempt["started_at"]) < 15
    child, heard = home.ledger()
    assert heard == "heard TERM"
    wait_until(lambda: ended(child), SOON)


def test_a_job_that_runs_too_long_does_not_repeat_those_before_it(home: Home) -> None:
    home.run_each(f"note({n})" for n in range(60))
    slow = home.run("note('slow'); wait_for('never')", timeout=0.5)
    rest = home.run_each(f"note({n})" for n in range(60, 120))
    home.work()
    ran_once(home, ["slow", *map(str, range(120))])
    assert home.job(slow)["status"] == "failed"
    assert set(home.statuses(rest)) == {"completed"}


def test_a_job_that_runs_too_long_spoils_none_that_ended_just_before_it(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    home.declare_many("run", [{"code": "return 'well'"}] * 3)
    slow = home.run("wait_for('never')", timeout=0.01)
    wait_until(home.several_in_hand)
    realizer.resume()
    assert home.wait(slow, "failed")["error"] == "ran longer than 0.01 s"
    assert {home.job(id)["result"] for id in range(slow - 3, slow)} == {"well"}


def test_a_note_that_takes_long_breaks_no_jobs_limit(home: Home) -> None:
    home.write(
        "slow.py",
        """
        import os, time

        pwrite = os.pwrite

        def slowly(*given):
            time.sleep(0.5)
            return pwrite(*given)

        os.pwrite = slowly
        """,
    )
    ids = home.run_each(["pass"] * 4, timeout=0.2)
    home.work()
    assert home.statuses(ids) == ["completed"] * 4
    assert {home.job(id)["attempts"] for id in ids} == {1}


# Long jobs and short ones


def test_short_jobs_go_on_while_a_long_one_of_their_kind_runs(home: Home) -> None:
    warm = home.run_each(f"note({n})" for n in range(50))
    long = home.run("note('long'); wait_for('gate')")
    short = home.run_each(f"note({n})" for n in range(50, 250))
    home.worker("--realizers", 2)
    wait_until(lambda: set(home.statuses([*warm, *short])) == {"completed"})
    assert home.job(long)["status"] == "processing"
    home.open("gate")
    home.wait(long)
    ran_once(home, ["long", *map(str, range(250))])


def test_with_one_realizer_short_jobs_wait_unclaimed_and_none_is_held_back_unreported(
    home: Home,
) -> None:
    warm = home.run_each(f"note({n})" for n in range(50))
    long = home.run("note('long'); wait_for('gate')")
    short = home.run_each(f"note({n})" for n in range(50, 250))
    home.worker()
    wait_until(lambda: "long" in home.ledger())
    wait_until(lambda: set(home.statuses(short)) == {"pending"}, SOON)
    wait_until(lambda: home.running(long), SOON)
    wait_until(lambda: set(home.statuses(warm)) == {"completed"}, SOON)
    assert {home.job(id)["attempts"] for id in short} == {0}
    home.open("gate")
    wait_until(lambda: home.counts()["completed"] == 251)
    assert {home.job(id)["returns"] for id in short} == {0}
    ran_once(home, ["long", *map(str, range(250))])


# What a worker takes, and in what order


def test_a_job_that_no_worker_knows_stays_pending_until_its_file_is_there(home: Home) -> None:
    id = home.declare_job("stranger", text="hello")
    known = home.run("note('known')")
    worker = home.worker().ready()
    home.wait(known)
    job = home.ask("report:job", id)
    assert (job["status"], job["attempts"], job["returns"]) == ("pending", 0, 0)
    assert "no living worker knows the job stranger" in job["why_not_running"]
    worker.process.terminate()
    assert worker.end() == 0
    assert "no worker is alive" in home.job(id)["why_not_running"]
    home.write(
        "stranger.py",
        """
        from jobs.run import Job, dataclass, note

        @dataclass
        class Stranger(Job):
            text: str
            def handle(self):
                note(self.text)
        """,
    )
    home.work()
    assert home.job(id)["status"] == "completed"
    assert home.ledger() == ["known", "hello"]


def test_until_empty_leaves_what_is_due_later(home: Home) -> None:
    later = home.run("note('later')", delay=3600)
    now = home.run("note('now')")
    home.work()
    assert home.ledger() == ["now"]
    assert home.statuses([now, later]) == ["completed", "pending"]
    assert "it is due in" in home.job(later)["why_not_running"]


def test_max_jobs_ends_the_worker_after_just_so_many(home: Home) -> None:
    home.run_each(["note('a job')"] * 20)
    worker = home.worker("--max-jobs", 7)
    assert worker.end() == 0
    assert home.counts() == {"pending": 13, "processing": 0, "completed": 7, "failed": 0}
    assert len(home.ledger()) == 7


def test_max_jobs_counts_no_job_that_was_taken_back_from_behind_a_long_one(home: Home) -> None:
    home.run_each(["note('a job')"] * 20)
    long = home.run("wait_for('gate')")
    home.run_each(["note('a job')"] * 20)
    worker = home.worker("--max-jobs", 30)
    wait_until(partial(home.running, long))
    home.open("gate")
    assert worker.end() == 0
    assert home.counts()["completed"] == 30


def test_queues_are_served_in_the_order_given_and_others_left_alone(home: Home) -> None:
    for queue in ("c", "b", "a", "b", "a"):
        home.run(f"note('{queue}')", queue=queue, priority=5 if queue == "b" else 0)
    home.work("--queue", "a", "--queue", "b")
    assert home.ledger() == ["a", "a", "b", "b"]
    assert home.counts()["pending"] == 1


def test_a_higher_priority_goes_first(home: Home) -> None:
    for priority in (0, -10, 10, 1000, 10, -1000):
        home.run(f"note({priority})", priority=priority)
    home.work()
    assert home.ledger() == ["1000", "10", "10", "0", "-10", "-1000"]


def test_what_is_due_first_goes_first_then_what_was_declared_first(home: Home) -> None:
    home.write(
        "other.py",
        """
        from jobs.run import Job, dataclass, note

        @dataclass
        class Other(Job):
            text: str
            def handle(self):
                note(self.text)
        """,
    )
    home.queue.declare(request("stranger"))  # makes the file, which may take a while
    start = time.time() + 1.0
    home.run("note('fourth')", at=start + 0.03)
    home.declare_job("other", text="third", options={"at": start + 0.02})
    home.run("note('second')", at=start + 0.01)
    home.declare_job("other", text="first", options={"at": start})
    home.declare_job("other", text="fifth", options={"at": start + 0.04})
    home.run_each([f"note('and {n}')" for n in range(50)], at=start + 0.04)
    assert time.time() < start
    wait_until(lambda: time.time() > start + 0.1)
    home.work()
    ands = [f"and {n}" for n in range(50)]
    assert home.ledger() == ["first", "second", "third", "fourth", "fifth", *ands]


def test_a_worker_whose_words_nobody_takes_works_on(home: Home) -> None:
    id, other = home.run("print('x' * 9000); 1 / 0"), home.run("note('here')")
    where = ["--db", str(home.db), "--jobs", str(home.jobs)]
    command = [sys.executable, "-m", "prokerja", "realization:start", "--until-empty", *where]
    reader, writer = os.pipe()
    os.close(reader)
    assert subprocess.run(command, stderr=writer, check=False).returncode == 0
    os.close(writer)
    assert home.statuses([id, other]) == ["failed", "completed"]


@pytest.mark.parametrize(
    "declare", [declare_in_python, declare_on_the_command_line, declare_in_sql]
)
def test_an_idle_worker_wakes_up_for_a_job(home: Home, declare: Callable[[Home], None]) -> None:
    worker = home.worker().ready()
    wait_until(worker.asleep)
    declare(home)
    wait_until(lambda: home.ledger() == ["here"], SOON)


def test_where_no_file_can_be_watched_an_idle_worker_looks_again_by_itself(home: Home) -> None:
    home.elsewhere()
    worker = home.worker().ready()
    home.warm(worker)
    home.wait(home.run("note('here')"), limit=SOON)
    ran_once(home, ["here"])


def test_where_the_kernel_does_not_help_realizers_still_end_with_their_supervisor(
    home: Home,
) -> None:
    home.elsewhere()
    worker = home.worker().ready()
    [realizer] = worker.realizers()
    id = home.run("wait_for('gate')")
    wait_until(lambda: home.running(id))
    worker.kill()
    wait_until(lambda: gone(realizer), limit=SOON)
    home.open("gate")
    home.work()
    assert home.statuses([id]) == ["completed"]


def test_an_idle_worker_wakes_up_when_a_job_is_due(home: Home) -> None:
    home.worker().ready()
    home.run("note('here')", delay=0.5)
    assert home.ledger() == []
    wait_until(lambda: home.ledger() == ["here"], 0.5 + SOON)


# What jobs declare


def test_follow_ups_exist_if_and_only_if_the_job_has_completed(home: Home) -> None:
    home.write(
        "parent.py",
        """
        import os
        from jobs.run import Job, Run, dataclass, note, wait_for

        @dataclass
        class Parent(Job):
            text: str
            end: str = ""
            def handle(self):
                self.declare(Run(code=f"note('child of {self.text}')"))
                self.declare(Run(code="note('later')"), queue="slow", priority=3, delay=3600,
                             retries=2, retry_after=5, timeout=60)
                note(f"{self.text} has declared")
                wait_for(f"gate-{self.text}")
                exec(self.end)
                return self.text
        """,
    )
    good = home.declare_job("parent", text="good")
    worker = home.worker()
    wait_until(lambda: home.ledger() == ["good has declared"])
    wait_until(lambda: home.running(good))
    assert home.counts() == {"pending": 0, "processing": 1, "completed": 0, "failed": 0}
    home.open("gate-good")
    wait_until(lambda: "child of good" in home.ledger())
    later = home.job(good + 2)
    assert (later["status"], later["job"], later["queue"], later["priority"]) == (
        "pending", "run", "slow", 3,
    )  # fmt: skip
    assert (later["retries"], later["retry_after"], later["timeout"]) == (2, 5.0, 60.0)
    assert "it is due in" in later["why_not_running"]
    for bad, end in (("raises", "raise ValueError"), ("dies", "os._exit(1)")):
        id = home.declare_job("parent", text=bad, end=end)
        home.open(f"gate-{bad}")
        home.wait(id, "failed")
    total = sum(home.counts().values())
    assert total == 5
    assert not [line for line in home.ledger() if line in ("child of raises", "child of dies")]
    assert worker.process.poll() is None


def test_a_follow_up_that_cannot_be_declared_fails_the_job(home: Home) -> None:
    codes = ["self.declare(Run(code='x'), priority=5000)", "self.declare(object())"]
    ids = home.run_each(codes)
    home.work()
    assert home.statuses(ids) == ["failed", "failed"]
    assert "5000" in home.job(ids[0])["error"]
    assert sum(home.counts().values()) == 2


# What jobs print


def test_what_a_job_prints_is_marked_with_its_id(home: Home) -> None:
    ids = home.run_each(
        [
            "print('to stdout'); print('ünï\\nsecond line')",
            "print('to stderr', file=sys.stderr)",
            "subprocess.run(['sh', '-c', 'echo from a child; echo loudly >&2'])",
            r"os.write(1, b'bytes \xff\xfe\n'); sys.stdout.buffer.write(b'more \x80\n')",
            "print('no newline at the end', end='')",
            "print('x' * 100_000)",
        ]
    )
    worker = home.work("--verbose")
    assert [worker.lines(id) for id in ids[:2]] == [
        [b"to stdout", "ünï".encode(), b"second line"],
        [b"to stderr"],
    ]
    assert sorted(worker.lines(ids[2])) == [b"from a child", b"loudly"]  # one a stream
    assert [worker.lines(id) for id in ids[3:5]] == [
        [b"bytes \xff\xfe", b"more \x80"],
        [b"no newline at the end"],
    ]
    assert b"".join(worker.lines(ids[5])) == b"x" * 100_000


@pytest.mark.parametrize(
    "mischief",
    [
        "sys.stdout.close(); sys.stderr.close()",
        "os.close(1); os.close(2)",
        "null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 1); os.dup2(null, 2)",
        "sys.stdout = io.StringIO(); sys.stderr = None",
        "del sys.stdout",
        "sys.stdout = sys.stderr = type('Broken', (), {'flush': lambda self: 1 / 0})()",
        "sys.stdout = open(os.path.join(HOME, 'own'), 'w'); print('into a file')",
    ],
)
def test_a_job_that_breaks_its_output_takes_no_other_jobs_output_with_it(
    home: Home, mischief: str
) -> None:
    spoils = home.run(mischief)
    codes = ["print('hello ü'); print('err', file=sys.stderr)", "subprocess.run(['echo', 'child'])"]
    own = (
        "with open(os.path.join(HOME, 'data'), 'w') as file:\n    print('hi')\n    file.write('!')"
    )
    ids = home.run_each([*codes, own])
    worker = home.work("--verbose")
    assert home.statuses([spoils, *ids]) == ["completed"] * 4
    hello, child, hi = (worker.lines(id) for id in ids)
    assert sorted(hello) == [b"err", "hello ü".encode()]
    assert (child, hi) == ([b"child"], [b"hi"])
    assert (home.path / "data").read_text() == "!"


def test_a_daemon_that_a_job_leaves_behind_holds_nothing_up_and_ends_with_its_realizer(
    home: Home,
) -> None:
    id = home.run(
        """
        child = os.fork()
        if child == 0:
            os.setsid()
            if os.fork() == 0:
                note(os.getpid())
                wait_for("never")
            os._exit(0)
        os.waitpid(child, 0)
        return "left"
        """
    )
    after = home.run("print('after')")
    worker = home.work("--verbose")
    [pid] = wait_until(home.ledger)
    assert home.statuses([id, after]) == ["completed", "completed"]
    assert worker.lines(after) == [b"after"]
    assert not psutil.pid_exists(int(pid))


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise ValueError", "return 'the child'"])
def test_a_forked_child_that_comes_back_from_its_job_runs_no_other_job(
    home: Home, end: str
) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    parent = home.run(
        f"""
        child = os.fork()
        if child == 0:
            {end}
        os.waitpid(child, 0)
        return "the parent"
        """
    )
    ids = home.run_each(f"note({n})" for n in range(100))
    wait_until(home.several_in_hand)
    realizer.resume()
    wait_until(lambda: set(home.statuses([parent, *ids])) == {"completed"})
    ran_once(home, list(map(str, range(100))))
    job = home.job(parent)
    assert (job["status"], job["result"], job["attempts"]) == ("completed", "the parent", 1)


def test_much_output_passes_through_a_worker_that_stays_small(home: Home) -> None:
    id = home.run(
        """
        lines = (b"y" * 1023 + b"\\n") * 1024
        for _ in range(200):
            sys.stdout.buffer.write(lines)
        """
    )
    worker = home.worker("--verbose")
    home.wait(id)
    size = 200 * 2**20 + 200 * 1024 * len(f"[{id}] ")
    wait_until(lambda: worker.log.stat().st_size >= size)
    assert high_water(worker.pid) < 100 * 2**20
    worker.process.terminate()
    assert worker.end() == 0
    worker.log.unlink()


def high_water(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kilobytes) * 1024


def test_a_job_that_closes_what_is_not_its_own_finds_nothing_foreign_in_its_files(
    home: Home,
) -> None:
    code = """
    line = json.loads(sys.argv[2])["channel"]  # who closes that is taken for dead
    os.closerange(3, line)
    os.closerange(line + 1, 64)
    files = [os.open(os.path.join(HOME, f"own-{n}"), os.O_RDWR | os.O_CREAT) for n in range(60)]
    return max(files)
    """
    id = home.run(code)
    home.work()
    assert home.job(id)["result"] == 63
    assert [path.stat().st_size for path in home.path.glob("own-*")] == [0] * 60


def test_a_job_that_deletes_its_own_file_completes(home: Home) -> None:
    ids = home.run_each(
        ["os.unlink(__file__)\nreturn 'gone'", "return 'still known'", "raise ValueError('told')"]
    )
    home.work()
    assert home.statuses(ids) == ["completed", "completed", "failed"]
    assert "ValueError: told" in home.job(ids[2])["history"][0]["traceback"]


def test_a_job_file_that_kills_its_realizer_is_reported_and_starts_no_worker(home: Home) -> None:
    home.write("deadly.py", "import os; os._exit(7)")
    worker = home.worker("--realizers", 2)
    assert worker.end() == 1
    assert "exit status 7" in worker.said()
    assert "Traceback" not in worker.said()


def test_realizers_run_the_very_package_that_their_worker_runs(home: Home) -> None:
    copy = home.path / "copy"
    shutil.copytree(Path(prokerja.__file__).parent, copy / "prokerja")
    id = home.run("import prokerja; return prokerja.__file__")
    where = ["--db", str(home.db), "--jobs", str(home.jobs)]
    command = [sys.executable, "-m", "prokerja", "realization:start", "--until-empty", *where]
    subprocess.run(command, cwd=copy, check=True, timeout=PATIENCE, capture_output=True)
    assert home.job(id)["result"] == str(copy / "prokerja" / "__init__.py")
