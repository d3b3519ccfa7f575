"""What a worker writes to stderr: how much of it, for whom, and in which form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, get_args

import pytest

from prokerja.console import job_lines, worker_lines
from prokerja.console.background import BackgroundLog
from prokerja.console.worker_log import WorkerLog
from prokerja.worker_events import (
    Event,
    JobCompleted,
    JobDescribed,
    JobFailed,
    JobsSettled,
    JobStarted,
    QueueEmptied,
    WorkerStopped,
)
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.console.log_line import Line
    from tests.harness.home import Home

AS_THE_JOURNAL = """
import os, sys
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino + int(sys.argv[1])}"
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Runs a command whose stderr is the journal, if that number is 0."""
BROKEN_LISTENER = """
import os
import subprocess
from prokerja import on
from prokerja.events import Completed

@on(Completed)
def heard(event):
    os.write(2, b"from a listener's process")
    raise ValueError("two\\nlines")
"""


class Kept:
    """Lines as they come."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def fields(self, event: Any) -> Mapping[str, Any]:
        return {}

    def write(self, line: Line, fields: Mapping[str, Any], at: float) -> None:
        self.lines.append(line)

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]


def objects(said: str) -> list[dict[str, Any]]:
    """The lines of a log as JSON, each of which has to be an object of the usual form."""
    found = [json.loads(line) for line in said.splitlines()]
    for one in found:
        assert list(one)[:4] == ["time", "level", "event", "worker"]
        assert one["level"] in ("error", "warning", "info")
    return found


def test_short_jobs_leave_no_lines_of_their_own(home: Home) -> None:
    home.run_each(["pass"] * 300 + ["time.sleep(0.03)"] * 3)
    first, last = home.work("--queue", "default=2", "--queue", "late").said().splitlines()
    assert first.endswith(": 1 realizer, queues: default=2, late=1, jobs: run")
    assert last.startswith("prokerja: worker stopped: 303 attempts completed, 0 failed")


def test_a_long_job_is_told_of_when_it_runs_and_when_it_ends(home: Home) -> None:
    id = home.run("wait_for('gate')")
    worker = home.worker()
    wait_until(lambda: f"prokerja: job {id} run: attempt 1 is running\n" in worker.said())
    home.open("gate")
    wait_until(lambda: f"prokerja: job {id} run: completed in " in worker.said())


def test_short_jobs_are_counted_a_minute_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, now = Kept(), time.monotonic()
    log = WorkerLog(kept)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(2):
        log.tell(JobsSettled(12_000, 0))
        now += 59
        log.tell(JobsSettled(345, 1))
        assert log.due == now + 1
        now += 1
        log.catch_up()
        assert log.due is None
    assert kept.texts == ["completed 12,345 jobs in the last minute"] * 2


def test_what_is_due_is_said_though_nothing_happens() -> None:
    kept = Kept()
    with BackgroundLog(WorkerLog(kept, summary_seconds=0.02, started_seconds=0.01)) as log:
        log.tell(JobStarted(1, "slow", 1))
        log.tell(JobsSettled(2, 0))
        wait_until(lambda: len(kept.lines) == 2)
    assert kept.texts == ["job 1 slow: attempt 1 is running", "completed 2 jobs"]


def test_a_job_that_has_ended_in_time_was_never_said_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, now = Kept(), time.monotonic()
    log = WorkerLog(kept)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for id in (1, 2, 3):
        log.tell(JobStarted(id, "brief", 1))
    log.tell(JobCompleted(1, "brief", 0.5))
    log.tell(JobDescribed(2, "brief", "the second"))
    log.tell(JobFailed(2, "brief", 1, "x" * 600 + "\ny", None))
    log.tell(WorkerStopped(1, 1, 1))
    now += 60
    log.catch_up()
    failed = f"job 2 brief (the second): attempt 1 failed, for good: {'x' * 497}..."
    stopped = "worker stopped: 1 attempt completed, 1 failed, 1 put back to pending"
    assert kept.texts == [failed, stopped]
    assert [line.level for line in kept.lines] == [3, 6]


@pytest.mark.parametrize("away", [0, 1])
def test_lines_have_levels_if_the_journal_reads_them(home: Home, away: int) -> None:
    home.launcher = (sys.executable, "-c", AS_THE_JOURNAL, str(away))
    id = home.run("raise ValueError('so')")
    later = home.run("raise ValueError('so')", retries=1, retry_after=0)
    said = home.work().said().splitlines()
    failed = f"job {id} run: attempt 1 failed, for good: ValueError: so"
    again = f"job {later} run: attempt 1 failed, again in 0.00s: ValueError: so"
    wanted = ["<6>worker 1 started:", f"<3>{failed}", f"<4>{again}", "<6>worker stopped:"]
    if away:
        wanted = [f"prokerja: {text[3:]}" for text in wanted]
    for beginning in wanted:
        assert any(line.startswith(beginning) for line in said), said
    told = home("realization:start", "--jobs", "/nowhere")
    assert told.err.startswith("prokerja: " if away else "<3>prokerja: ")


def test_json_is_clean_whatever_happens(home: Home) -> None:
    home.write("listeners.py", BROKEN_LISTENER)
    home.write("broken.py", "raise ValueError('broken')")
    id = home.run("print('a', end='')\nos.write(2, b'\\x1b[1m\\xff\\n{}\\n')")
    home.run("raise ValueError('x' * 50_000)")
    home.run("os._exit(7)")
    worker = home.worker("--until-empty", "--log-format", "json", "--verbose")
    worker.end()
    found = objects(worker.said())
    events = {one["event"]: one for one in found}
    assert events["worker_started"]["names"] == ["run"]
    assert events["file_broken"]["file"].endswith("broken.py")
    assert {"realizer_died", "worker_stopped"} <= set(events)
    failed = [one for one in found if one["event"] == "job_failed"]
    assert [len(one["error"]) for one in failed if one["id"] == id + 1] == [500]
    assert all(one["worker"] == 1 and one["level"] == "error" for one in failed)
    texts = [one["text"] for one in found if one.get("id") == id and one["event"] == "output"]
    assert sorted(texts) == ["\x1b[1m\\xff", "a", "{}"]
    others = [one["text"] for one in found if one["event"] == "output" and "id" not in one]
    assert any("from a listener's process" in text for text in others)
    assert any("ValueError: two" in text for text in others)


@pytest.mark.parametrize("words", [("--jobs", "/nowhere"), ("--realizers", "9999")])
def test_json_tells_of_errors_too(home: Home, words: tuple[str, ...]) -> None:
    told = home("realization:start", "--log-format", "json", *words)
    [error] = objects(told.err)
    assert (told.code, told.out, error["event"], error["level"]) == (2, "", "error", "error")
    assert words[1] in error["error"]


def test_there_are_two_formats(home: Home) -> None:
    told = home("realization:start", "--log-format", "xml")
    assert told.code == 2
    assert told.err == "prokerja: --log-format: 'xml' is not a format; give text or json\n"


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_line_shows_a_payload(shell: Home, format: str) -> None:
    shell.declare_job("send", to="SECRET", tags=["SECRET"])
    shell.declare_job("noop", n="SECRET", unknown="SECRET")
    shell.declare_job("fail", nothing="SECRET")
    shell("declare:shell", "--sh", "exit 3 # SECRET")
    shell("declare:shell", "--env", "A=SECRET", "--", "false", "SECRET")
    said = shell.work("--log-format", format).said()
    assert "exit code 3" in said
    assert "takes no 'unknown'" in said
    assert "SECRET" not in said


def test_at_a_terminal_counts_come_each_second(home: Home) -> None:
    ours, theirs = os.openpty()
    try:
        command = home.command("realization:start", "--max-jobs", "2")

        with subprocess.Popen(command, stderr=theirs, env=home.environment) as worker:
            os.close(theirs)
            home.run("pass")
            said = b""
            while b"completed 1 job\r\n" not in said:
                said += os.read(ours, 2**12)
            home.run("pass")
            assert worker.wait(30) == 0
    finally:
        os.close(ours)


def test_every_event_has_a_line_but_those_that_are_counted_or_kept() -> None:
    silent = {JobsSettled, JobDescribed, QueueEmptied}
    for kind in get_args(Event):
        is_of_a_job = "id" in kind.__struct_fields__
        texts = job_lines._line if is_of_a_job else worker_lines._line
        assert (texts.dispatch(kind) is texts.dispatch(object)) == (kind in silent), kind
