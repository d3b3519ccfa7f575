"""`prokerja doctor` finds what is wrong, each fault made for real, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest

import prokerja
from prokerja.doctor import clock, jobs
from prokerja.doctor.clock import check_clock
from prokerja.doctor.disk import check_disk
from prokerja.doctor.workers import check_workers
from prokerja.model.check import State
from prokerja.model.worker import Taking, WorkerNote
from tests.harness.processes import kill
from tests.harness.terminal import Terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home

DAY = 86400.0
NOBODY = 65534
ROOT = os.geteuid() == 0


def faults(shell: Home) -> list[dict[str, str]]:
    """What fails, each with what to do; the exit code tells whether anything does."""
    told = shell("doctor", "--json")
    assert told.err == ""
    failed = [check for check in json.loads(told.out) if check["state"] == "failed"]
    assert all(check["fix"] for check in failed)
    assert told.code == bool(failed)
    return failed


def fault(shell: Home) -> dict[str, str]:
    """The one thing that fails."""
    [check] = faults(shell)
    return check


def found(shell: Home, name: str) -> list[dict[str, str]]:
    """What was found under one name."""
    checks = json.loads(shell("doctor", "--json").out)
    return [check for check in checks if check["name"] == name]


def test_a_place_where_nothing_is_yet_is_well(shell: Home) -> None:
    told = shell("doctor")
    assert (told.code, told.err) == (0, "")
    assert {cells[0] for cells in told.cells} == {"ok"}
    assert all(len(cells) == 4 for cells in told.cells)
    assert not shell.db.exists()


def test_a_queue_with_a_worker_is_well_and_is_left_as_it_was(shell: Home) -> None:
    shell.declare("noop")
    worker = shell.worker()
    wait_until(lambda: shell.counts()["completed"] == 1)
    wait_until(worker.asleep)
    before = shell.dump(), worker.said()
    assert faults(shell) == []
    assert f"(process {worker.pid}) has been alive for" in found(shell, "workers")[0]["text"]
    assert (shell.dump(), worker.said()) == before
    [id] = shell.declare("noop")
    shell.wait(id)
    assert worker.process.poll() is None


def test_the_shape_of_the_answer(shell: Home) -> None:
    shell.declare("noop")
    told = shell("doctor", "--json")
    assert told.code == 1
    checks = json.loads(told.out)
    assert {tuple(check) for check in checks} == {("name", "state", "text", "fix")}
    assert {check["state"] for check in checks} <= {"ok", "warning", "failed"}
    names = [check["name"] for check in checks]
    assert names == [
        "settings", "file", "file system", "rights", "schema", "integrity", "log", "writing",
        "jobs", "disk", "clock", "due", "unit",
    ]  # fmt: skip


def test_what_is_due_while_nobody_works_fails(shell: Home) -> None:
    shell.declare("noop")
    check = fault(shell)
    assert check["name"] == "due"
    assert "job of queue 'default' has been due for" in check["text"]
    assert "realization:start" in check["fix"]
    shell.cli("queue:pause", "default")
    assert faults(shell) == []
    assert found(shell, "due")[0]["state"] == "warning"
    shell.cli("queue:resume", "default")
    shell.worker("--queue", "other").ready()
    assert fault(shell)["text"].endswith("and no worker takes from it")


def test_a_worker_that_stands_still_or_is_dead_is_told(shell: Home) -> None:
    shell.declare("noop")
    worker = shell.worker().ready()
    wait_until(lambda: shell.counts()["completed"] == 1)
    wait_until(worker.asleep)
    worker.send(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
    fixes = [check["fix"] for check in faults(shell)]
    assert f"kill -CONT {worker.pid}" in fixes
    kill(worker.family())
    worker.process.wait()
    wait_until(lambda: not shell.queue.summary().workers)
    [check] = found(shell, "workers")
    assert (check["state"], "is dead" in check["text"]) == ("warning", True)
    assert faults(shell) == []


def test_what_a_worker_says_of_itself_is_told(shell: Home) -> None:
    store = shell.queue.repository
    now = time.time()
    worker = store.join(os.getpid(), now, 1, Taking()).worker
    full = WorkerNote("disk", now - 60, "the disk is full\n", holds=True)
    store.note(worker, [full, WorkerNote("code", now, "a.py cannot be loaded", holds=False)])
    told = [(check.state, check.text) for check in check_workers(store, now)]
    assert (
        State.FAILED,
        f"worker {worker} has taken no jobs for 1m 0s: the disk is full\\n",
    ) in told
    said = f"worker {worker} has been saying for 0.00s: a.py cannot be loaded"
    assert (State.WARNING, said) in told


def test_a_terminal_shows_a_line_for_each_with_what_to_do(shell: Home) -> None:
    shell.declare("noop")
    code, text = Terminal(shell, "doctor").end()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    [due] = [line for line in lines if line.startswith("failed")]
    assert code == 1
    assert re.fullmatch(r"failed  due +a job of .* is alive; start one with .*", due)
    assert len(lines) == len(json.loads(shell("doctor", "--json").out))


# The jobs directory


def test_broken_job_files_are_named_and_none_is_run(shell: Home) -> None:
    shell.write("bad.py", "class Broken(:\n")
    trap = shell.path / "was run"
    shell.write("trap.py", f"open({str(trap)!r}, 'w')\n")
    check = fault(shell)
    assert check["name"] == "jobs"
    assert check["text"].startswith(f"{shell.jobs / 'bad.py'}: ")
    assert check["fix"].startswith("correct it")
    assert not trap.exists()
    for number in range(jobs.MAX_BROKEN):
        shell.write(f"bad{number}.py", "(")
    told = faults(shell)
    assert len(told) == jobs.MAX_BROKEN + 1
    assert told[-1]["text"] == f"1 more of 6 faults in {shell.jobs}"


def test_a_jobs_directory_that_is_named_has_to_be_there(shell: Home) -> None:
    shutil.rmtree(shell.jobs)
    assert fault(shell)["text"] == f"there is no directory {shell.jobs}"
    del shell.environment["PROKERJA_JOBS"]
    assert faults(shell) == []
    shell.jobs.write_text("a file")
    shell.in_environment({"PROKERJA_JOBS": str(shell.jobs)})
    assert str(shell.jobs) in fault(shell)["text"]


def test_job_files_that_everybody_can_write_are_told(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    if ROOT:  # for whom it is a failure of its own
        os.chown(shell.db, NOBODY, NOBODY)
    for path in (shell.jobs, shell.jobs / "some.py"):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        told = [check for check in found(shell, "jobs") if check["state"] != "ok"]
        assert (told[0]["state"], str(path) in told[0]["text"]) == ("warning", True)
        path.chmod(mode)
    assert [check["state"] for check in found(shell, "jobs")] == ["ok"]


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_root_is_told_of_job_files_of_others_unless_the_queue_is_theirs(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    os.chown(shell.jobs, NOBODY, NOBODY)
    assert "so root runs no jobs from there" in fault(shell)["text"]
    os.chown(shell.db, NOBODY, NOBODY)
    assert faults(shell) == []


def test_whose_queue_it_is_can_always_be_asked(tmp_path: Path) -> None:
    assert jobs._is_roots(":memory:")
    assert jobs._is_roots(str(tmp_path / "nowhere"))


# Settings, disk and clock


def test_a_settings_file_that_is_wrong_is_told(shell: Home) -> None:
    file = shell.path / "home" / ".config" / "prokerja" / "prokerja.toml"
    file.parent.mkdir(parents=True)
    file.write_text("keep_complete = '1d'\n")
    check = fault(shell)
    assert (check["name"], str(file) in check["text"]) == ("settings", True)
    assert check["fix"].startswith("there are db, jobs")


def may_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


def test_a_full_disk_is_told_twice_as_it_is_and_as_a_write_finds_it(shell: Home) -> None:
    """On a small disk of its own, which is gone with the process."""
    small = shell.path / "small"
    small.mkdir()
    if not may_mount(small):
        pytest.skip("no disk can be mounted here")
    script = (
        f"mount -t tmpfs -o size=16m tmpfs {small}\n"
        f"export PROKERJA_DB={small}/q.db\n"
        "prokerja declare:job noop --in 1h >&2\n"
        "dd if=/dev/zero of=$PROKERJA_DB-ballast bs=1k 2>/dev/null\n"
        "truncate -s -$1k $PROKERJA_DB-ballast\n"
        "exec prokerja doctor --json"
    )
    for free, names in (("600", ["disk"]), ("80", ["writing", "disk"]), ("0", ["schema", "disk"])):
        told = shell.execute(["unshare", "--mount", "sh", "-c", script, "sh", free])
        failed = [check for check in json.loads(told.out) if check["state"] == "failed"]
        assert (told.code, [check["name"] for check in failed]) == (1, names), failed
        assert "free at" in failed[-1]["text"]
        if "writing" in names:
            assert failed[0]["text"] == f"{small}/q.db: the disk is full; nothing was changed"
            assert failed[0]["fix"] == "make room and try again"


def test_a_disk_that_is_mounted_read_only_is_told(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    small = shell.path / "small"
    small.mkdir()
    if not may_mount(small):
        pytest.skip("no disk can be mounted here")
    script = (
        f"mount -t tmpfs tmpfs {small}\n"
        f"cp $PROKERJA_DB {small}/q.db\n"
        f"mount -o remount,ro {small}\n"
        f"prokerja doctor --json --db {small}/$1"
    )
    for name in ("q.db", "new.db"):
        told = shell.execute(["unshare", "--mount", "sh", "-c", script, "sh", name])
        [check] = [one for one in json.loads(told.out) if one["state"] == "failed"]
        assert check["text"].endswith("lies on a file system that is mounted read-only")


def test_little_room_is_warned_of(tmp_path: Path) -> None:
    db = str(tmp_path / "not" / "yet" / "q.db")
    huge = 2**80
    assert [check.state for check in check_disk(db, floor=0, low=0)] == [State.OK]
    assert [check.state for check in check_disk(db, floor=0, low=huge)] == [State.WARNING]
    assert [check.state for check in check_disk(db, floor=huge, low=huge)] == [State.FAILED]
    assert list(check_disk(":memory:")) == []


def test_a_clock_that_cannot_be_right_is_told(shell: Home) -> None:
    shell.declare("noop", "--in", "30d")
    store, now = shell.queue.repository, time.time()
    installed = os.stat(prokerja.__file__).st_mtime
    for at, state in (
        (installed - 2 * DAY, State.FAILED),
        (now, State.OK),
        (now + 365 * DAY, State.OK),
    ):
        assert check_clock(at, store).state is state
    later = now + 7200
    store.join(os.getpid(), later, 1, Taking())
    check = check_clock(now, store)
    assert check.state is State.WARNING
    assert "has met a time 2h 0m ahead" in check.text
    assert check_clock(later - clock.SLACK_SECONDS, store).state is State.OK
