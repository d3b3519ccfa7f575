"""What `ps` shows of a worker's processes."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home
    from tests.harness.worker import Worker

WITHOUT = "import sys; sys.modules['setproctitle'] = None"


def title(pid: int) -> str:
    """As `ps` shows it."""
    words = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def realizer(worker: Worker) -> str:
    return title(worker.realizers()[0].pid)


def test_ps_tells_what_runs_and_what_does_not(home: Home) -> None:
    worker = home.worker().ready()
    wait_until(lambda: title(worker.pid) == "prokerja: supervisor, idle", SOON)
    assert realizer(worker) == "prokerja: idle realizer"
    id = home.run("note('begin')\nwait_for('gate')")
    wait_until(lambda: realizer(worker) == f"prokerja: run {id}", SOON)
    wait_until(lambda: title(worker.pid) == "prokerja: supervisor, 1 running", SOON)
    [process] = worker.realizers()
    if sys.platform == "linux":
        assert process.name().startswith("prokerja: run")
        assert process.environ()["PROKERJA_DB"] == str(home.db)
    home.open("gate")
    home.wait(id)
    wait_until(lambda: realizer(worker) == "prokerja: idle realizer", SOON)
    wait_until(lambda: title(worker.pid) == "prokerja: supervisor, idle", SOON)


def test_a_command_and_a_job_that_fails_are_named_too(home: Home) -> None:
    worker = home.worker().ready()
    home("declare:shell", "--sh", f"while ! [ -e {home.path}/gate ]; do sleep 0.01; done; exit 1")
    wait_until(lambda: realizer(worker) == "prokerja: shell 1", SOON)
    home.open("gate")
    home.wait(1, "failed")
    wait_until(lambda: realizer(worker) == "prokerja: idle realizer", SOON)


def test_no_command_line_shows_a_payload(home: Home) -> None:
    worker = home.worker().ready()
    home.run("wait_for('SECRET')")
    wait_until(lambda: realizer(worker) == "prokerja: run 1", SOON)
    for process in worker.family():
        assert "SECRET" not in title(process.pid)


def test_a_short_job_changes_no_title(home: Home) -> None:
    home.write(
        "early.py",
        f"""
        import setproctitle
        before = setproctitle.setproctitle
        def told(title):
            with open({str(home.path / "ledger")!r}, "a") as file:
                file.write(title + "\\n")
            before(title)
        setproctitle.setproctitle = told
        """,
    )
    home.run_each(["pass"] * 200)
    home.work()
    assert home.ledger() == ["prokerja: ", "prokerja: idle realizer"]


@pytest.mark.parametrize("embedded", [False, True])
def test_without_setproctitle_or_in_a_program_of_its_own_titles_stay(
    home: Home, embedded: bool
) -> None:
    id = home.run("note(os.getpid())\nwait_for('gate')")
    if embedded:
        code = "import sys, prokerja\nprokerja.Worker(prokerja.Queue(sys.argv[1])).run()"
        pid = home.python(code, home.db).pid
    else:
        place = home.path / "site"
        place.mkdir()
        (place / "sitecustomize.py").write_text(WITHOUT)
        home.environment["PYTHONPATH"] = str(place)
        pid = home.worker().pid
    wait_until(lambda: home.running(id))
    for process in (pid, int(home.ledger()[0])):
        assert not title(process).startswith("prokerja: ")
    home.open("gate")
    home.wait(id)


def test_a_realizer_with_several_jobs_names_one_and_counts_the_others(home: Home) -> None:
    home.write(
        "beside.py",
        """
        import asyncio
        from prokerja import Job
        from jobs.run import wait_for

        class Beside(Job):
            def payload(self): return {}
            async def handle(self):
                await asyncio.to_thread(wait_for, "gate")
        """,
    )
    worker = home.worker("--concurrency", "10").ready()
    for _ in range(3):
        home.declare_job("beside")
    shown = re.compile(r"prokerja: beside \d and 2 more")
    wait_until(lambda: shown.fullmatch(realizer(worker)), SOON)
    home.open("gate")
    wait_until(lambda: realizer(worker) == "prokerja: idle realizer", SOON)
