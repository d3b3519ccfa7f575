"""What jobs start ends with them, wherever it has gone; and what it opens is its own."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.harness.processes import gone
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

TICK = "'while :; do echo tick $$ >> ' + LEDGER + '; sleep 0.02; done'"
STRAYS = {
    "timeout": f"subprocess.Popen(['timeout', '600', 'sh', '-c', {TICK}])",
    "setsid": f"subprocess.Popen(['setsid', 'sh', '-c', {TICK}])",
    "orphan": f"subprocess.run(['sh', '-c', 'setsid sh -c \"$0\" & sleep 0.1', {TICK}])",
    "deaf": f"subprocess.Popen(['setsid', 'sh', '-c', 'trap \"\" TERM HUP; ' + {TICK}])",
}


def stray(home: Home) -> psutil.Process:
    line = wait_until(lambda: [line for line in home.ledger() if line.startswith("tick")])[0]
    return psutil.Process(int(line.split()[1]))


@pytest.mark.parametrize("how", STRAYS)
def test_what_a_job_has_started_ends_with_its_time_limit(home: Home, how: str) -> None:
    id = home.run(f"{STRAYS[how]}\nwait_for('never')", timeout=0.5, retries=1, retry_after=0)
    home.worker()
    first = stray(home)
    home.wait(id, "failed")
    wait_until(lambda: gone(first), SOON)
    written = len(home.ledger())
    home.wait(home.run("time.sleep(0.2)"))
    assert len(home.ledger()) == written


@pytest.mark.parametrize("how", STRAYS)
def test_what_a_job_has_started_ends_with_a_killed_worker(home: Home, how: str) -> None:
    home.run(f"{STRAYS[how]}\nwait_for('never')")
    worker = home.worker()
    first = stray(home)
    worker.kill()
    wait_until(lambda: gone(first), SOON)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_a_job_has_started_ends_with_its_realizer(home: Home, number: int) -> None:
    id = home.run(f"{STRAYS['setsid']}\nwait_for('gate')\nos.kill(os.getpid(), {number})")
    home.worker()
    first = stray(home)
    home.open("gate")
    job = home.wait(id, "failed")
    assert signal.Signals(number).name in job["error"]
    wait_until(lambda: gone(first), SOON)


def test_a_worker_is_dead_only_when_what_its_jobs_have_started_is(home: Home) -> None:
    id = home.run(f"note('begin')\n{STRAYS['setsid']}\nwait_for('gate')")
    worker = home.worker()
    first = stray(home)
    wait_until(lambda: home.running(id))
    worker.kill()
    home.worker()
    wait_until(lambda: home.ledger().count("begin") == 2)
    assert gone(first)


def test_orphans_of_jobs_leave_no_zombies(home: Home) -> None:
    home.run("for _ in range(5): subprocess.run(['sh', '-c', 'sleep 0.01 & exit'])")
    worker = home.worker()
    wait_until(lambda: home.counts()["completed"] == 1)
    wait_until(lambda: len(worker.family()) == len(worker.realizers()) * 2 + 1, SOON)


@pytest.mark.parametrize(
    "question", ["import getpass; getpass.getpass()", "open('/dev/tty').readline()"]
)
def test_a_job_that_asks_the_terminal_fails_at_once(home: Home, question: str) -> None:
    screen, terminal = os.openpty()
    path, command = os.ttyname(terminal), home.command("realization:start")
    # The leader of a session that opens a terminal has it.
    shell = ["sh", "-c", 'exec 3<> "$0"; exec "$@"', path, *command]
    with subprocess.Popen(
        shell, env=home.environment, start_new_session=True, stderr=subprocess.DEVNULL
    ) as worker:
        job = home.wait(home.run(question), "failed")
        worker.terminate()
    os.close(screen)
    os.close(terminal)
    assert job["error"].startswith(("EOFError", "OSError"))


NESTED = """
def deepest():
    files = [open(os.devnull) for _ in range(300)]
    if os.fork() == 0:
        os._exit(sum(_closed(file) for file in files) > 0)
    return os.waitstatus_to_exitcode(os.wait()[1])

def _closed(file):
    try:
        os.fstat(file.fileno())
    except OSError:
        return True
    return False

if os.fork() == 0:
    os._exit(deepest())
return os.waitstatus_to_exitcode(os.wait()[1])
"""


def test_the_files_that_a_jobs_grandchildren_have_are_theirs(home: Home) -> None:
    id = home.run(NESTED)
    home.work()
    assert home.job(id)["result"] == 0


def test_pools_within_pools_work(home: Home) -> None:
    home.write(
        "nest.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        from dataclasses import dataclass
        from multiprocessing import get_context
        from prokerja import Job

        FORK = get_context("fork")

        def inner(n):
            return n * n

        def outer(n):
            with ProcessPoolExecutor(2, mp_context=FORK) as pool:
                return sum(pool.map(inner, range(n)))

        @dataclass
        class Nest(Job):
            def handle(self):
                with ProcessPoolExecutor(2, mp_context=FORK) as pool:
                    return list(pool.map(outer, range(5)))
        """,
    )
    id = home.declare_job("nest")
    home.work()
    assert home.job(id)["result"] == [0, 0, 1, 5, 14]
