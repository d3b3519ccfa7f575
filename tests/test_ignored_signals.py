"""Signals that were ignored when a program was started: it goes on ignoring them."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.harness.home import PROGRAM, Home
from tests.harness.waiting import wait_until

STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PYTHON = """
import sys
from prokerja import Queue, Worker

print(repr(Worker(Queue(sys.argv[1]), sys.argv[2]).run()))
"""
WATCHFUL = """
import os, signal
from prokerja import Queue, Worker

woken = os.pipe()
os.set_blocking(woken[1], False)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
signal.set_wakeup_fd(woken[1])
queue = Queue(":memory:")
Worker(queue, [], until_empty=True).run()
print(signal.set_wakeup_fd(-1) == woken[1])
"""


def start(
    shell: Home, *command: object, ignored: tuple[signal.Signals, ...]
) -> subprocess.Popen[str]:
    """A program that begins its life with these signals ignored, as under `nohup`."""
    traps = "; ".join(f"trap '' {number.name.removeprefix('SIG')}" for number in ignored)
    return subprocess.Popen(
        ["sh", "-c", f'{traps}; exec "$@"', "sh", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=shell.path,
        env=shell.environment,
    )


@pytest.mark.parametrize("number", STOPPING)
def test_a_worker_goes_on_at_a_signal_that_was_ignored_when_it_began(
    shell: Home, number: signal.Signals
) -> None:
    other = signal.SIGTERM if number is signal.SIGINT else signal.SIGINT
    worker = start(shell, PROGRAM, "realization:start", ignored=(number,))
    wait_until(lambda: shell.look("SELECT 1 FROM worker WHERE names <> '[]'"))
    worker.send_signal(number)
    id = shell.declare_job("noop")
    wait_until(lambda: shell.ask("report:job", id)["status"] == "completed")
    worker.send_signal(other)
    _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert f"stopping: heard {other.name}" in err
    assert number.name not in err


def test_a_worker_in_python_goes_on_at_a_signal_that_was_ignored_when_it_began(
    shell: Home,
) -> None:
    command = (sys.executable, "-c", PYTHON, shell.db, shell.jobs)
    worker = start(shell, *command, ignored=(signal.SIGHUP,))
    wait_until(lambda: shell.look("SELECT 1 FROM worker WHERE names <> '[]'"))
    worker.send_signal(signal.SIGHUP)
    id = shell.declare_job("noop")
    wait_until(lambda: shell.ask("report:job", id)["status"] == "completed")
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=30)
    assert out == "'heard SIGTERM'\n"


def test_a_worker_whose_signals_are_all_ignored_leaves_its_callers_wake_up_as_it_was(
    shell: Home,
) -> None:
    told = shell.execute([sys.executable, "-c", WATCHFUL])
    assert (told.code, told.out) == (0, "True\n"), told.err


def test_wait_goes_on_at_a_signal_that_was_ignored_when_it_began(shell: Home) -> None:
    id = shell.declare_job("noop")
    wait = start(shell, PROGRAM, "wait", id, ignored=(signal.SIGHUP, signal.SIGINT))
    wait_until(lambda: psutil.Process(wait.pid).name() != "sh")
    wait.send_signal(signal.SIGHUP)
    wait.send_signal(signal.SIGINT)
    shell.work()
    out, err = wait.communicate(timeout=30)
    assert (wait.returncode, out, err) == (0, "", "")
