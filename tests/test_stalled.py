"""Readers of a worker's lines that have stopped, or gone away: the work goes on."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

FAILING = 600
"""Jobs whose lines fill a pipe several times over."""


@contextmanager
def a_worker_that_nobody_reads(home: Home, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Its stderr is a small pipe."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = home.command("realization:start", *words)
    worker = subprocess.Popen(command, stderr=writer, env=home.environment)
    os.close(writer)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()
        os.close(reader)


def test_a_reader_that_has_stopped_stops_neither_work_nor_limits_nor_the_end(home: Home) -> None:
    home.run_each(["raise ValueError('#' * 400)"] * FAILING)
    with a_worker_that_nobody_reads(home) as worker:
        wait_until(lambda: home.counts()["failed"] == FAILING)
        late = home.run("wait_for('never')", timeout=0.3)
        assert home.wait(late, "failed")["error"] == "ran longer than 0.3 s"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def test_a_worker_that_nobody_reads_ends_when_its_work_is_done(home: Home) -> None:
    home.run_each(["print('#' * 400)\nraise ValueError('#' * 400)"] * 50, retries=0)
    home.run_each(["raise ValueError('#' * 400)"] * FAILING)
    with a_worker_that_nobody_reads(home, "--until-empty") as worker:
        # What jobs print waits in their own pipes, which are larger.
        wait_until(lambda: home.counts()["failed"] == FAILING + 50)
        assert worker.wait(30) == 0


def test_lines_that_wait_for_a_slow_reader_come_in_their_order(home: Home) -> None:
    home.run_each(f"raise ValueError('number {n}')" for n in range(FAILING))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = home.command("realization:start")
    with subprocess.Popen(command, stderr=writer, env=home.environment) as worker:
        os.close(writer)
        wait_until(lambda: home.counts()["failed"] == FAILING)
        worker.send_signal(signal.SIGTERM)
        with os.fdopen(reader, "rb") as file:
            lines = file.read().splitlines()
    assert worker.returncode == 0
    numbers = [int(line.split()[-1]) for line in lines if b"number" in line]
    assert numbers == list(range(FAILING))
    assert b"worker stopped" in lines[-1]


@pytest.mark.parametrize("words", [(), ("--until-empty",)])
def test_a_terminal_that_goes_away_lets_the_running_job_end(
    home: Home, words: tuple[str, ...]
) -> None:
    id = home.run("note('begin')\nwait_for('gate')\nreturn 'done'")
    screen, terminal = os.openpty()
    path, command = os.ttyname(terminal), home.command("realization:start", *words)
    # The leader of a session that opens a terminal has it.
    shell = ["sh", "-c", 'exec 0<> "$0" >&0 2>&0; exec "$@"', path, *command]
    with subprocess.Popen(
        shell, start_new_session=True, env={**home.environment, "TERM": "xterm"}
    ) as worker:
        wait_until(lambda: home.ledger() == ["begin"])
        os.close(terminal)
        os.close(screen)
        wait_until(lambda: home.running(id))
        home.open("gate")
        assert home.wait(id)["result"] == "done"
        assert worker.wait(30) == 0
