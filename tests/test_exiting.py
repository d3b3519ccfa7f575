"""What a program has done when it ends, which does not hold it up."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from prokerja import at_exit, declare_at_exit
from prokerja.errors import RequestError
from prokerja.exiting import CHILD_PATIENCE_SECONDS
from prokerja.queue import _default
from tests.harness.home import request
from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

ROOT = str(Path(__file__).parents[1])
HEAD = """
    import os, signal, sys, threading, time
    import prokerja
    from tests.harness.home import request

    def note(line):
        with open("ledger", "a") as ledger:
            ledger.write(f"{line}\\n")

    def wait_for(gate):
        while not os.path.exists(gate):
            time.sleep(0.005)
"""
ENDS = {
    "the end": ("pass", 0),
    "exit": ("sys.exit(3)", 3),
    "error": ("raise ValueError", 1),
    "interrupt": ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
}
CUTS = {
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "term": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "_exit": ("os._exit(4)", 4),
    "exec": ("os.execv('/bin/true', ['true'])", 0),
}


def program(home: Home, code: str, *options: str) -> subprocess.Popen[str]:
    """Start a program whose output is read from pipes."""
    source = textwrap.dedent(HEAD) + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, *options, "-c", source],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=home.path, env={**home.environment, "PYTHONPATH": ROOT},
    )  # fmt: skip
    home._started.append(process)
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code of a program and all that it has printed, once nobody holds its pipes."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def log(home: Home) -> str:
    file = home.path / "queue.sqlite3-exit.log"
    return file.read_text() if file.exists() else ""


@pytest.fixture(autouse=True)
def _declares_here(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PROKERJA_DB", str(home.db))
    yield
    home.open("gate")  # whatever waits for it would outlive a test that has failed


# Jobs


def test_a_job_is_declared_when_the_program_ends(home: Home) -> None:
    process = program(
        home,
        """
        prokerja.declare_at_exit(request("run", code="note(1)"), priority=3, delay=0)
        prokerja.declare_at_exit(request("run", code="note(2)"))
        print("working", flush=True)
        wait_for("gate")
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    assert home.queue.find() == []
    home.open("gate")
    assert end(process) == (0, "", "")
    assert [job.priority for job in home.queue.find()] == [0, 3]
    home.work()
    assert home.ledger() == ["1", "2"]
    assert log(home) == ""


@pytest.mark.parametrize("name", ENDS)
def test_a_job_is_declared_however_the_program_ends(home: Home, name: str) -> None:
    line, code = ENDS[name]
    process = program(home, f"prokerja.declare_at_exit(request('run'))\n{line}")
    assert end(process)[0] == code
    assert len(home.queue.find()) == 1


@pytest.mark.parametrize("name", CUTS)
def test_a_program_that_is_cut_off_does_nothing(home: Home, name: str) -> None:
    line, code = CUTS[name]
    asked = "prokerja.declare_at_exit(request('run')); prokerja.at_exit(note, 'called')"
    assert end(program(home, f"{asked}\n{line}")) == (code, "", "")
    assert (home.queue.find(), home.ledger(), log(home)) == ([], [], "")


def test_a_job_is_declared_as_it_is_when_the_program_ends(home: Home) -> None:
    process = program(
        home,
        """
        counts = []
        prokerja.declare_at_exit(request("run", counts=counts), delay=60)
        time.sleep(0.2)
        counts += [1, 2]
        print(time.time())
        """,
    )
    ended_at = float(end(process)[1])
    [job] = home.queue.find()
    assert job.payload == {"counts": [1, 2]}
    assert job.due_at.timestamp() >= ended_at + 60


@pytest.mark.parametrize(
    ("job", "options", "why"),
    [
        (5, {}, "is not a job"),
        (request("run", code={1}), {}, "the payload is not JSON"),
        (request("run"), {"retries": -1}, "retries: '-1' does not fit"),
        (request("run"), {"colour": "red"}, "unknown option colour"),
    ],
)
def test_what_cannot_be_declared_is_refused_at_once(
    home: Home, job: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(RequestError, match=why):
        declare_at_exit(job, **options)


def test_a_queue_in_memory_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROKERJA_DB", ":memory:")
    with pytest.raises(RequestError, match="a queue in memory ends with the program"):
        declare_at_exit(request("run"))
    _default(":memory:").close()


def test_what_cannot_be_declared_any_more_is_told_and_takes_nothing_with_it(home: Home) -> None:
    process = program(
        home,
        """
        bad = request("run", n=1)
        for job in (request("run", n=2), bad, request("run", n=3)):
            prokerja.declare_at_exit(job)
        bad.given["n"] = object()
        """,
    )
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert err.startswith("prokerja: Request was not declared at exit: run: the payload is not")
    assert err.count("\n") == 1
    assert [job.payload["n"] for job in home.queue.find()] == [3, 2]


def test_a_job_whose_own_code_fails_takes_nothing_with_it(home: Home) -> None:
    process = program(
        home,
        """
        bad = request("run", n=1)
        for job in (request("run", n=2), bad, request("run", n=3)):
            prokerja.declare_at_exit(job)
        prokerja.at_exit(note, "called")
        del bad.given
        """,
    )
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert err.startswith("prokerja: Request was not declared at exit (")
    assert "AttributeError: " in err.splitlines()[-1]
    assert [job.payload["n"] for job in home.queue.find()] == [3, 2]
    wait_until(lambda: home.ledger() == ["called"])


def test_a_job_that_is_refused_takes_nothing_with_it(home: Home) -> None:
    process = program(
        home,
        """
        for n in range(3):
            prokerja.declare_at_exit(request("run", n=n), **({"after": [99]} if n == 1 else {}))
        """,
    )
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert err.startswith("prokerja: Request was not declared at exit: there is no job 99")
    assert err.count("\n") == 1
    assert [job.payload["n"] for job in home.queue.find()] == [2, 0]


def test_what_interrupts_the_end_leaves_its_work_to_the_child(home: Home) -> None:
    process = program(
        home,
        """
        job, owner = request("run"), os.getpid()
        prokerja.declare_at_exit(job)
        prokerja.at_exit(note, "called")

        def payload():
            if os.getpid() == owner:
                raise KeyboardInterrupt
            return {}

        job.payload = payload
        """,
    )
    assert "KeyboardInterrupt" in end(process)[2]
    wait_until(lambda: home.ledger() == ["called"])
    assert len(home.queue.find()) == 1


def test_a_file_that_stays_locked_is_tried_once_for_all_jobs(home: Home) -> None:
    home.run("pass")
    process = program(
        home,
        """
        from prokerja import exiting
        from prokerja.queue import Queue
        register = Queue.register

        def noted(*args):
            note("tried")
            return register(*args)

        Queue.register = noted
        exiting.CHILD_PATIENCE_SECONDS = 0.3
        for n in range(20):
            prokerja.declare_at_exit(request("run"))
        prokerja.at_exit(note, "called")
        print("on", flush=True)
        wait_for("gate")
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    with closing(sqlite3.connect(home.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        home.open("gate")
        assert end(process) == (0, "", "")
        wait_until(lambda: "called" in home.ledger())
        other.execute("COMMIT")
    assert home.ledger() == ["tried", "tried", "called"]
    assert log(home).count("prokerja: Request was not declared at exit: ") == 20
    assert len(home.queue.find()) == 1


def test_a_locked_queue_does_not_hold_the_program_up(home: Home) -> None:
    home.run("pass")
    code = "prokerja.declare_at_exit(request('run'))\nprint('on', flush=True)\nwait_for('gate')"
    process = program(home, code)
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    with closing(sqlite3.connect(home.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        home.open("gate")
        process.wait(CHILD_PATIENCE_SECONDS / 2)
        assert end(process) == (0, "", "")
        other.execute("COMMIT")
    wait_until(lambda: len(home.queue.find()) == 2)
    assert log(home) == ""


# Functions


def test_a_program_ends_before_what_it_has_done_at_exit(home: Home) -> None:
    process = program(
        home,
        """
        def work(gate, *, line):
            wait_for(gate)
            print("printed")
            note(f"{line} {found} {os.getsid(0) == os.getpid()} {sys.stdin.read()!r}")

        prokerja.at_exit(work, "gate", line="closure")
        found = "what it is at the end"
        print("ended")
        """,
    )
    assert end(process) == (0, "ended\n", "")
    assert home.ledger() == []
    home.open("gate")
    wait_until(home.ledger)
    assert home.ledger() == ["closure what it is at the end True ''"]
    wait_until(lambda: log(home) == "printed\n")
    assert stat.S_IMODE((home.path / "queue.sqlite3-exit.log").stat().st_mode) == 0o600


def test_functions_are_called_in_order_and_one_that_fails_is_told(home: Home) -> None:
    process = program(
        home,
        """
        prokerja.at_exit(note, 1)
        prokerja.at_exit(lambda: 1 / 0)
        prokerja.at_exit(sys.exit, 5)
        prokerja.at_exit(prokerja.at_exit, note, 3)
        prokerja.at_exit(prokerja.declare, request("run"))
        prokerja.at_exit(prokerja.declare_at_exit, request("run"))
        prokerja.at_exit(note, 2)
        prokerja.declare(request("run"))
        """,
    )
    assert end(process) == (0, "", "")
    wait_until(lambda: home.ledger() == ["1", "2", "3"])
    wait_until(lambda: len(home.queue.find()) == 3)
    assert log(home).count("prokerja: a function given to at_exit failed") == 2
    assert "ZeroDivisionError: division by zero" in log(home)


def test_jobs_are_declared_before_the_program_ends_and_functions_called_after(home: Home) -> None:
    process = program(
        home,
        """
        prokerja.at_exit(wait_for, "gate")
        prokerja.at_exit(note, "called")
        prokerja.declare_at_exit(request("run"))
        """,
    )
    assert end(process)[0] == 0
    assert (len(home.queue.find()), home.ledger()) == (1, [])
    home.open("gate")
    wait_until(lambda: home.ledger() == ["called"])


def test_only_the_program_itself_does_it_and_no_child_of_it(home: Home) -> None:
    process = program(
        home,
        """
        import multiprocessing
        prokerja.at_exit(note, "once")
        prokerja.declare_at_exit(request("run"))
        if os.fork() == 0:
            sys.exit()
        os.wait()
        child = multiprocessing.get_context("fork").Process(target=note, args=["child"])
        child.start()
        child.join()
        """,
    )
    assert end(process) == (0, "", "")
    wait_until(lambda: len(home.ledger()) == 2)
    assert home.ledger() == ["child", "once"]
    assert len(home.queue.find()) == 1


def test_threads_and_strict_warnings_do_not_keep_it_from_working(home: Home) -> None:
    process = program(
        home,
        """
        prokerja.at_exit(note, "called")
        threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
        threading.Thread(target=note, args=["thread"]).start()
        """,
        "-W",
        "error",
    )
    assert end(process) == (0, "", "")
    wait_until(lambda: home.ledger() == ["thread", "called"])


def test_a_child_ends_at_a_term_whatever_the_program_has_made_of_it(home: Home) -> None:
    process = program(
        home,
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        prokerja.at_exit(lambda: note(os.getpid()))
        prokerja.at_exit(time.sleep, 1000)
        """,
    )
    assert end(process) == (0, "", "")
    wait_until(home.ledger)
    [pid] = map(int, home.ledger())
    child = psutil.Process(pid)
    os.kill(pid, signal.SIGTERM)
    child.wait(PATIENCE)


async def _coroutine() -> None:
    pass


@pytest.mark.parametrize(
    ("function", "why"), [(5, "5 cannot be called"), (_coroutine, "a coroutine has no event loop")]
)
def test_what_cannot_be_called_is_refused_at_once(function: Any, why: str) -> None:
    with pytest.raises(RequestError, match=f"^at_exit: {why}"):
        at_exit(function)


@pytest.mark.parametrize("line", ["at_exit(print)", "declare_at_exit(Run('pass'))"])
def test_a_job_is_told_to_declare_what_follows(home: Home, line: str) -> None:
    id = home.run(f"import prokerja; prokerja.{line}")
    home.work()
    error = home.queue.job(id).error
    assert error is not None
    assert "is for programs; a job declares what follows: self.declare()" in error


def test_a_python_that_cannot_fork_at_exit_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    with pytest.raises(RequestError, match=r"Python 3\.12\.0 to 3\.12\.2 cannot fork at exit"):
        at_exit(print)
