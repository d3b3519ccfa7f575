"""Workers that declarations start, and that leave when nothing is due."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home


def start_log(shell: Home) -> str:
    """What the last of them has said."""
    file = shell.path / "queue.sqlite3-start.log"
    return file.read_text() if file.exists() else ""


def gone(shell: Home) -> bool:
    """Whether no worker is on the books any more."""
    return not shell.look("SELECT 1 FROM worker")


def test_a_declaration_starts_a_worker_that_leaves_when_nothing_is_due(shell: Home) -> None:
    assert shell("declare:shell", "--start", "--wait", "echo", "done") == (0, "done\n", "")
    shell.declare("noop", "--in", "1h", "--start")
    assert shell("declare:batch", "--start", stdin='{"job": "noop"}').out == "1 3 3\n"
    assert shell("wait", 3).code == 0
    wait_until(lambda: gone(shell))
    assert shell.report() == [1, 0, 2, 0]
    wait_until(lambda: "worker stopped" in start_log(shell))


def test_none_is_started_where_one_is_alive(shell: Home) -> None:
    shell.worker().ready()
    assert shell("declare:shell", "--start", "--wait", "true").code == 0
    assert start_log(shell) == ""


def test_whoever_declares_at_the_same_time_as_others_is_served_and_by_one_worker(
    shell: Home,
) -> None:
    script = "mkdir busy && sleep 0.05 && rmdir busy"
    words = shell.command("declare:shell", "--start", "--sh", script)
    for _ in range(3):
        declaring = [
            subprocess.Popen(
                words, env=shell.environment, cwd=shell.path, stdout=subprocess.DEVNULL
            )
            for _ in range(8)
        ]
        assert [one.wait() for one in declaring] == [0] * 8
    assert shell("wait", *range(1, 25), "--timeout", "60").code == 0
    wait_until(lambda: gone(shell))


def test_nobody_who_declares_while_a_worker_leaves_is_forgotten(shell: Home) -> None:
    for id in range(1, 11):
        assert shell("declare:shell", "--start", "true").out == f"{id}\n"
        assert shell("wait", id, "--timeout", "30").code == 0


def test_a_worker_that_can_do_none_of_what_is_due_leaves(shell: Home) -> None:
    shell.declare_job("unknown")
    assert shell("declare:shell", "--start", "--wait", "true").code == 0
    wait_until(lambda: gone(shell))
    assert shell.report() == [1, 0, 1, 0]
