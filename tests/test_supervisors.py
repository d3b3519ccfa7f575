"""The examples of the guide for supervisors other than systemd, each started for real."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.documents import PAGES, blocks, section
from tests.harness.home import PROGRAM, Home
from tests.harness.processes import gone
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXAMPLES = section(PAGES["service"], "Other supervisors")
STAND_INS = Path(__file__).with_name("stand_ins")
SUPERVISORD = """
[supervisord]
nodaemon=true
user={user}
logfile={here}/supervisord.log
pidfile={here}/supervisord.pid
childlogdir={here}

"""


class Supervised:
    """A supervisor and the worker that it keeps."""

    def __init__(self, home: Home, command: Sequence[str]) -> None:
        self._home = home
        self.process = subprocess.Popen(
            command, cwd=home.path, env=home.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def worker(self, *, other_than: int = 0) -> psutil.Process:
        """Its worker, as soon as it is registered."""
        rows = wait_until(
            lambda: self._home.look(f"SELECT pid FROM worker WHERE pid <> {other_than}")
        )
        return psutil.Process(rows[-1][0])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def close(self) -> None:
        """End all that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["supervisord", "runit"])
def supervised(home: Home, request: pytest.FixtureRequest) -> Iterator[Supervised]:
    start = {"supervisord": start_supervisord, "runit": start_runit}[request.param]
    supervised = start(home)
    yield supervised
    supervised.close()


def start_supervisord(home: Home) -> Supervised:
    [example] = blocks(EXAMPLES, "ini")
    user = psutil.Process().username()
    conf = home.path / "supervisord.conf"
    conf.write_text(SUPERVISORD.format(user=user, here=home.path) + example.text)
    return Supervised(home, [f"{os.path.dirname(PROGRAM)}/supervisord", "-c", str(conf)])


def start_runit(home: Home) -> Supervised:
    """Runit's own `runsv` where it is installed, else one that does the same."""
    [example] = blocks(EXAMPLES, "sh")
    home.environment["PATH"] += f"{os.pathsep}{STAND_INS}"
    assert home.sh(example.text).code == 0
    runsv = shutil.which("runsv", path=home.environment["PATH"])
    assert runsv is not None
    return Supervised(home, [runsv, "sv/prokerja"])


def test_a_worker_is_kept_and_stops_with_its_supervisor(home: Home, supervised: Supervised) -> None:
    home.wait(home.run("pass"))
    worker = supervised.worker()
    id = home.run("wait_for('gate')")
    wait_until(lambda: home.running(id))
    worker.kill()
    worker = supervised.worker(other_than=worker.pid)
    home.open("gate")
    assert home.wait(id)["attempts"] == 2
    supervised.stop()
    wait_until(lambda: gone(worker))
    assert home.look("SELECT * FROM worker") == [], "it has left in good order"


def test_runit_leaves_a_worker_alone_that_was_asked_for_what_cannot_be(home: Home) -> None:
    """It counts its starts, and asks for what cannot be at its second."""
    starts, counting = home.path / "starts", home.path / "bin"
    counting.mkdir()
    (counting / "prokerja").write_text(
        f'#!/bin/sh\necho >> "{starts}"\n'
        f'test "$(wc -l < "{starts}")" -gt 1 && set -- realization:start --grace soon\n'
        f'exec "{PROGRAM}" "$@"\n'
    )
    (counting / "prokerja").chmod(0o755)
    home.environment["PATH"] = f"{counting}{os.pathsep}{home.environment['PATH']}"
    with contextlib.closing(start_runit(home)) as supervised:
        supervised.worker().kill()
        wait_until(lambda: len(starts.read_text()) == 2)
        wait_until(lambda: (home.path / "sv/prokerja/supervise/stat").read_text() == "down\n")
        assert len(starts.read_text()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="flock(1) is Linux's")
def test_cron_starts_a_worker_that_does_what_is_due_unless_one_does(home: Home) -> None:
    [example] = blocks(EXAMPLES, "crontab")
    path = re.findall(r"^PATH=(.*)$", example.text, re.MULTILINE)[0]
    [line] = re.findall(r"^\*/5 \* \* \* \* (.*)$", example.text, re.MULTILINE)
    assert "%" not in line, "cron would end the line there"
    kept = ("PROKERJA_DB", "PROKERJA_JOBS", "HOME")
    environment = {name: home.environment[name] for name in kept}
    environment["PATH"] = f"{os.path.dirname(PROGRAM)}:{path}"
    os.makedirs(environment["HOME"])

    def tick() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", line], cwd=environment["HOME"], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    id = home.run("wait_for('gate')")
    first = tick()
    wait_until(lambda: home.running(id))
    second = tick()
    assert second.communicate(timeout=30)[0] == b"", "cron would mail it"
    assert home.look("SELECT count(*) FROM worker") == [(1,)]
    home.open("gate")
    assert (first.communicate(timeout=30)[0], first.returncode) == (b"", 0)
    assert home.job(id)["status"] == "completed"
    later = home.run("pass")
    third = tick()
    third.communicate(timeout=30)
    assert (third.returncode, home.job(later)["status"]) == (0, "completed")
    assert "1 attempt completed" in (Path(environment["HOME"]) / "prokerja.log").read_text()
