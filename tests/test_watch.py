"""`report --watch`: a queue on a screen of its own, and as a line a second."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from rich.cells import cell_len
from rich.console import Console

from prokerja.console.dashboard import Dashboard
from prokerja.model.record import Running
from prokerja.watching import Pace, Watcher
from tests.harness.terminal import Terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

ALT_SCREEN, NORMAL_SCREEN, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 pending=1 processing=0 completed=0 failed=0"
    r" workers=0 ended_1s=0\.0 ended_1min=0\.0"
)


def test_a_screen_shows_counts_what_runs_what_has_failed_and_who_works(shell: Home) -> None:
    shell("declare:shell", "--label", "oops", "--sh", "exit 3")
    shell.work()
    shell("declare:shell", "--label", "long", "sleep", "60")
    shell("declare:shell", "--at", "2100-01-01", "true")
    shell.worker().ready()
    screen = Terminal(shell, "report", "--watch")
    for words in (
        "pending 1  processing 1  completed 0  failed 1",
        "2  shell  long",
        "worker 2 ",
        "1  shell  oops  exit code 3",
        "1 realizer, queues: all",
        "1 running",
    ):
        screen.expect(words)
    shell("declare:shell", "--at", "2100-01-01", "true")
    screen.clear()
    screen.expect("pending 2")
    assert b"last failures" not in screen.shown, "only what has changed is drawn again"
    screen.type("q")
    code, _ = screen.end()
    assert code == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda screen: screen.type("q"), 0),
        (lambda screen: screen.process.send_signal(signal.SIGINT), 0),
        (lambda screen: [screen.process.send_signal(signal.SIGINT) for _ in range(3)], 0),
        (lambda screen: screen.process.send_signal(signal.SIGTERM), 143),
        (lambda screen: screen.process.send_signal(signal.SIGHUP), 129),
    ],
)
def test_a_screen_leaves_the_terminal_as_it_was(shell: Home, end: object, code: int) -> None:
    assert callable(end)
    shell("declare:shell", "true")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    assert ALT_SCREEN in screen.shown
    assert screen.settings() != screen.settings_before
    end(screen)
    wait_until(lambda: screen.process.poll() is not None)
    assert screen.settings() == screen.settings_before
    assert screen.end()[0] == code
    assert screen.shown.rindex(NORMAL_SCREEN) > screen.shown.rindex(ALT_SCREEN)
    assert screen.shown.rindex(CURSOR) > screen.shown.rindex(ALT_SCREEN)


WITH_JOB_CONTROL = """
import subprocess, sys
sys.exit(subprocess.call(sys.argv[1:], process_group=0))
"""
"""As a shell does it: a group of its own for each command, below the shell's."""


def test_where_nobody_could_let_it_go_on_a_screen_does_not_stop(shell: Home) -> None:
    shell("declare:shell", "true")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    screen.clear()
    screen.process.send_signal(signal.SIGTSTP)
    screen.expect("pending 1")
    screen.type("q")
    assert screen.end()[0] == 0
    assert screen.shown.index(NORMAL_SCREEN) < screen.shown.index(ALT_SCREEN)


def test_a_screen_gives_the_terminal_back_while_it_is_stopped(shell: Home) -> None:
    shell("declare:shell", "true")
    shell.launcher = (sys.executable, "-c", WITH_JOB_CONTROL)
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    screen.clear()
    [process] = psutil.Process(screen.process.pid).children()
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
    assert screen.settings() == screen.settings_before
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: screen.settings() != screen.settings_before)
    screen.type("q")
    assert screen.end()[0] == 0
    assert screen.shown.index(NORMAL_SCREEN) < screen.shown.index(ALT_SCREEN)


def test_a_screen_follows_the_size_of_its_terminal(shell: Home) -> None:
    shell("declare:shell", "true")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    screen.resize(59, 24)
    screen.expect("60 columns are needed")
    screen.clear()
    screen.resize(80, 24)
    screen.expect("pending 1")
    screen.type("q")
    assert screen.end()[0] == 0


def test_a_screen_holds_no_read_transaction(shell: Home) -> None:
    shell("declare:shell", "true")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    for _ in range(3):
        shell("declare:shell", "true")
        wait_until(lambda: shell.look("PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)])
    screen.type("q")
    assert screen.end()[0] == 0


@pytest.mark.parametrize("words", [["--plain"], ["--watch"], ["--watch", "--plain"]])
def test_in_a_pipe_there_is_a_line_a_second(shell: Home, words: list[str]) -> None:
    shell("declare:shell", "--queue", "q", "--at", "2100-01-01", "true")
    command = shell.command("report", *words, "--queue", "q")
    with subprocess.Popen(
        command, env=shell.environment, cwd=shell.path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert LINE.fullmatch(process.stdout.readline().strip())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_one_answer_is_asked_for_at_a_time(shell: Home) -> None:
    told = shell("report", "--watch", "--json")
    assert told.code == 2
    assert "cannot be combined; use one" in told.err


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_line_fits_whatever_a_label_holds(shell: Home, width: int) -> None:
    labels = (
        "plain",
        "wide 写真 " * 9,
        "right \u05e9\u05dc\u05d5\u05dd",
        "e\u0301 " * 40,
        "x" * 255,
    )
    for label in labels:
        shell("declare:shell", "--label", label, "--sh", "printf '\\033[2J' >&2; exit 3")
        shell("declare:shell", "--queue", label, "--at", "2100-01-01", "true")
    shell.work()
    snapshot = Watcher(shell.queue, None).look(0.0)
    assert len(snapshot.failures) == len(labels)
    drawn = Dashboard("/a/queue", ascii_only=False).draw(snapshot, width, 50)
    console = Console(width=width, height=50)
    lines = console.render_lines(drawn, console.options.update(width=width), pad=False)
    texts = ["".join(segment.text for segment in line) for line in lines]
    assert all(cell_len(text) <= width for text in texts)
    assert not any("\x1b" in text for text in texts)
    ages = [text for text in texts if text.endswith(" ago")]
    assert len(ages) == len(labels)
    assert {cell_len(text) for text in ages} == {width}, "the right column is straight"


def test_what_finds_no_room_is_counted(shell: Home) -> None:
    shell.declare("noop")
    shell.worker("--queue", "none").ready()
    snapshot = Watcher(shell.queue, None).look(0.0)
    [record], [worker] = shell.queue.newest(), snapshot.summary.workers
    summary = snapshot.summary._replace(workers=[worker] * 9)
    running = [Running(record, worker.id)] * 28
    full = snapshot._replace(summary=summary, running=running)
    drawn = Dashboard("/a/queue", ascii_only=False).draw(full, 80, 24)
    lines = [str(line) for line in drawn.renderables]
    assert len(lines) <= 24
    listed = sum(line.startswith("  1  noop") for line in lines)
    assert f"  and {28 - listed} more" in lines
    assert "  and 6 more" in lines
    assert sum(line.endswith("28 running") for line in lines) == 3


def test_a_queue_that_goes_away_ends_the_screen_with_a_word(shell: Home) -> None:
    shell("declare:shell", "true")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending 1")
    shell.db.unlink()
    code, shown = screen.end()
    assert code == 1
    assert shown.endswith(f"prokerja: {shell.db} is gone\n")
    assert screen.shown.rindex(NORMAL_SCREEN) > screen.shown.rindex(ALT_SCREEN)


def test_a_terminal_that_moves_no_cursor_gets_lines(shell: Home) -> None:
    shell("declare:shell", "true")
    shell.launcher = ("env", "TERM=dumb")
    screen = Terminal(shell, "report", "--watch")
    screen.expect("pending=1 processing=0")
    screen.process.send_signal(signal.SIGINT)
    assert screen.end()[0] == 130
    assert b"\x1b" not in screen.shown


def test_a_screen_in_ascii_draws_its_bars_in_ascii(shell: Home) -> None:
    snapshot = Watcher(shell.queue, None).look(0.0)._replace(last_second=50.0)
    drawn = Dashboard("/a/queue", ascii_only=True).draw(snapshot, 80, 24)
    rates = next(str(line) for line in drawn.renderables if "1 min" in str(line))
    assert "############" in rates
    assert rates.isascii()


def test_a_pace_is_over_the_time_that_is_asked_for() -> None:
    pace = Pace()
    assert pace.over(1.0) == 0.0
    for second in range(200):
        pace.add(float(second), second * 5 if second <= 190 else 950 + (second - 190) * 100)
    assert pace.over(1.0) == 100.0
    assert pace.over(60.0) == pytest.approx((9 * 100 + 51 * 5) / 60)
