"""A system that is short of something: workers say so, wait, and go on when there is more."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja import shortage
from prokerja.worker.descriptor_limit import EACH, OWN
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.home import Home
    from tests.harness.worker import Worker

ROOT = Path(__file__).parents[1]
SHORT = """
import errno, os, subprocess
start = subprocess.Popen.__init__

def start_if_there_is_room(self, *given, **options):
    if os.path.exists(os.environ["SHORT"]):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    start(self, *given, **options)

subprocess.Popen.__init__ = start_if_there_is_room
"""
"""Has no process find room as long as a file is there."""


STARTING = """
import json, os, resource, sys
from prokerja.worker.output.tap import Tap
from prokerja.worker.pool.process import RealizerProcess

class Pipes:
    taken = []  # these pipes, and nothing out of them

    def add(self, *pipes):
        self.taken += pipes
        return Tap(*pipes, None, 0, verbose=False)

    def drain(self, tap):
        pass

    def close(self):
        while self.taken:
            os.close(self.taken.pop())

def opened():
    return len(os.listdir("/proc/self/fd"))

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
pipes, error = Pipes(), 0
RealizerProcess(sys.argv[1], (), -1, 0, pipes).reap()  # imports what it needs
pipes.close()
usual = opened()
for limit in range(usual - 1, 99):
    if error is None:
        break
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    try:
        RealizerProcess(sys.argv[1], (), -1, 0, pipes).reap()
        error = None
    except OSError as failure:
        error = failure.errno
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pipes.close()
    print(json.dumps({"left": opened() - usual, "error": error}))
"""
"""Starts a realizer with one descriptor more each time, until that succeeds."""


def without(limit: str, value: int) -> tuple[str, ...]:
    """Runs a command in a user namespace of its own, with a limit that is the namespace's."""
    script = f'echo {value} > /proc/sys/user/{limit} && exec "$@"'
    return ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")


def descriptors(worker: Worker) -> set[int]:
    return set(map(int, os.listdir(f"/proc/{worker.pid}/fd")))


def allow(worker: Worker, count: int) -> None:
    """Let a worker have so many descriptors, and no more."""
    _, most = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (count, most))


def starve(worker: Worker) -> Callable[[], None]:
    """Allow a worker no descriptor more than it has; returns what ends that."""
    usual, _ = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    used = descriptors(worker)
    allow(worker, min(set(range(len(used) + 1)) - used))
    return lambda: allow(worker, usual)


@pytest.fixture
def movable(home: Home, tmp_path: Path) -> Path:
    """The interpreter of all that is started from here on, which may be moved away."""
    place = tmp_path / "venv"
    command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(place)]
    subprocess.run(command, check=True)
    names = {"base": str(place), "platbase": str(place)}
    packages = Path(sysconfig.get_path("purelib", vars=names))
    (packages / "ours.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    home.program = (str(place / "bin" / "python"), "-m", "prokerja")
    return place / "bin" / "python"


def test_without_a_free_descriptor_the_other_realizers_go_on_and_a_new_one_comes_later(
    home: Home,
) -> None:
    worker = home.worker("--realizers", "2").ready()
    wait_until(lambda: len(worker.realizers()) == 2)
    long = home.run("wait_for('gate')")
    wait_until(lambda: home.running(long))
    usual = len(descriptors(worker))
    feed = starve(worker)
    victim = home.run("note(os.getpid()); wait_for('never')", retries=0)
    wait_until(lambda: home.running(victim))
    psutil.Process(int(home.ledger()[0])).kill()
    assert "killed by SIGKILL" in home.wait(victim, "failed")["error"]
    wait_until(lambda: "no realizer could be started" in worker.said())
    assert "has no file descriptor left (its limit is " in worker.said()
    assert "`ulimit -n` or LimitNOFILE=" in worker.said()
    home.open("gate")
    home.wait(long)
    home.wait(home.run("return 1"))
    feed()
    wait_until(lambda: len(worker.realizers()) == 2)
    wait_until(lambda: len(descriptors(worker)) == usual)
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


BLIND = """
import resource, sys
from prokerja.worker.duties.signals import StopRequests
from prokerja.worker.installed import installed, sites
from prokerja.worker.own_code import OwnCode
with StopRequests() as requests:
    own, places = OwnCode(requests), sites()
    assert own.is_current() and installed(places)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    assert own.is_current() and not requests.reason
    try:
        installed(places)
    except OSError as error:
        print(error.errno)
"""
"""A worker that can open nothing more, not even the directories that hold its own code."""


def test_who_cannot_look_does_not_take_its_code_for_changed(home: Home) -> None:
    out, _ = home.python(BLIND).communicate(timeout=30)
    assert out == f"{errno.EMFILE}\n"


def test_a_start_that_fails_leaves_no_descriptor_behind_whatever_is_missing(home: Home) -> None:
    starter = home.python(STARTING, home.jobs)
    out, _ = starter.communicate()
    *failed, last = map(json.loads, out.splitlines())
    assert len(failed) > 8
    assert all(one == {"left": 0, "error": errno.EMFILE} for one in failed)
    assert last == {"left": 0, "error": None}


@pytest.fixture
def short(home: Home) -> Path:
    """A file; as long as it is there, there is no room for another process."""
    (home.path / "short").mkdir()
    (home.path / "short" / "sitecustomize.py").write_text(SHORT)
    file = home.path / "shortage"
    file.touch()
    home.customize(home.path / "short")
    home.in_environment({"SHORT": str(file)})
    return file


def test_a_worker_that_starts_without_free_descriptors_waits_for_some(
    home: Home, short: Path
) -> None:
    id = home.run("return 1")
    worker = home.worker()
    wait_until(lambda: "no realizer could be started, trying again in 2.00s" in worker.said())
    assert "started:" not in worker.said()
    short.unlink()
    home.wait(id)


def test_a_worker_that_can_start_no_realizer_stops_when_it_is_told_to(
    home: Home, short: Path
) -> None:
    worker = home.worker()
    wait_until(lambda: "no realizer could be started" in worker.said())
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert worker.said().endswith("worker stopped: 0 attempts completed, 0 failed\n")


def test_a_worker_that_may_not_have_what_its_realizers_need_says_so_at_once(home: Home) -> None:
    home.launcher = ("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
    worker = home.worker("--realizers", "8")
    assert worker.end() == 2
    [line] = worker.said().splitlines()
    assert re.match(r"prokerja: realizers: 8 need \d+ file descriptors, and this process may", line)
    assert line.endswith(
        "have 64; raise that (LimitNOFILE= in a unit, `ulimit -n` in a shell) or give fewer"
    )


def test_a_worker_raises_its_own_soft_limit_and_not_that_of_jobs(home: Home) -> None:
    home.launcher = ("sh", "-c", 'ulimit -S -n 64 && exec "$@"', "sh")
    worker = home.worker("--realizers", "8")
    id = home.run("import resource; return resource.getrlimit(resource.RLIMIT_NOFILE)[0]")
    assert home.wait(id)["result"] == 64
    wait_until(lambda: len(worker.realizers()) == 8)
    soft, _ = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    assert len(descriptors(worker)) <= soft <= len(descriptors(worker)) + OWN + EACH
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert "no realizer could be started" not in worker.said()


def test_what_is_counted_for_a_realizer_is_what_it_takes(home: Home) -> None:
    counts = []
    for realizers in (1, 3):
        worker = home.worker("--realizers", realizers).ready()
        wait_until(lambda worker=worker, n=realizers: len(worker.realizers()) == n)  # type: ignore[misc]
        counts.append(len(descriptors(worker)))
        worker.send(signal.SIGTERM)
        worker.end()
    each = (counts[1] - counts[0]) // 2
    assert each + 1 == EACH  # what its job prints goes to a file
    assert counts[0] - each <= OWN + 3


def test_a_command_without_a_free_descriptor_says_so_and_may_be_tried_again(home: Home) -> None:
    home.run("return 1")
    home.launcher = ("sh", "-c", 'ulimit -S -n 14 && exec "$@"', "sh")
    worker = home.worker()
    assert worker.end() == 75
    assert worker.said() == (
        "prokerja: this process has no file descriptor left (its limit is 14);"
        " raise it with `ulimit -n` or LimitNOFILE=\n"
    )


def test_a_worker_waits_for_an_interpreter_that_is_away_and_names_it(
    home: Home, movable: Path
) -> None:
    worker = home.worker().ready()
    away = movable.rename(movable.with_name("away"))
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: f"{movable}: No such file or directory" in worker.said())
    away.rename(movable)
    home.wait(home.run("return 1"))


def test_without_inotify_instances_a_worker_looks_again_and_again(home: Home) -> None:
    home.launcher = without("max_inotify_instances", 0)
    worker = home.worker().ready()
    assert worker.said().count("the file cannot be watched, looking again and again instead") == 1
    assert "raise fs.inotify.max_user_instances" in worker.said()
    wait_until(worker.asleep)
    home.wait(home.run("return 1"), limit=SOON)
    dead = home.worker().ready()
    id = home.run("wait_for('gate')")
    other = home.run("wait_for('gate')")
    wait_until(lambda: home.running(id) and home.running(other))
    dead.kill()
    wait_until(lambda: "is dead; put back what it held: 1 job" in worker.said(), SOON)
    home.open("gate")
    home.wait(id)
    home.wait(other)


def test_without_inotify_instances_wait_ends_when_the_job_does(home: Home) -> None:
    id = home.run("wait_for('gate')")
    worker = home.worker().ready()
    wait_until(lambda: home.running(id))
    home.launcher = without("max_inotify_instances", 0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(home.cli, "wait", id)
        home.open("gate")
        assert waiting.result() == ""
    assert worker.process.poll() is None


def test_without_a_further_inotify_watch_a_worker_still_notices_when_another_dies(
    home: Home,
) -> None:
    home.launcher = without("max_inotify_watches", 1)
    worker = home.worker("--no-watch").ready()
    assert "cannot be watched" not in worker.said()
    busy = home.run("wait_for('gate')")
    wait_until(lambda: home.running(busy))
    home.launcher = ()
    dead = home.worker().ready()
    wait_until(lambda: "raise fs.inotify.max_user_watches" in worker.said())
    id = home.run("wait_for('gate')")
    wait_until(lambda: home.running(id))
    dead.kill()
    wait_until(lambda: "is dead; put back what it held: 1 job" in worker.said(), SOON)
    home.open("gate")
    home.wait(id)
    assert worker.said().count("cannot be watched") == 1


def test_without_a_free_descriptor_a_worker_works_on_while_others_come_and_go(home: Home) -> None:
    worker = home.worker().ready()
    feed = starve(worker)
    other = home.worker().ready()
    wait_until(lambda: "cannot see which other workers are alive" in worker.said())
    id = home.run("wait_for('gate')")
    home.run("wait_for('gate')")
    wait_until(lambda: home.running(id))
    home.open("gate")
    home.wait(id)
    other.kill()
    feed()
    wait_until(lambda: "is dead; put back what it held" in worker.said())
    assert worker.process.poll() is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EAGAIN, "no further process may be started; raise `ulimit -u` or TasksMax="),
        (errno.ENFILE, "the system has no file descriptor left; raise fs.file-max"),
        (errno.ENOMEM, "the system has no memory left; free some, or raise MemoryMax="),
        (errno.EACCES, "/x/python: Permission denied"),
    ],
)
def test_whatever_a_process_lacks_is_reported_with_where_there_is_more(
    code: int, told: str
) -> None:
    assert shortage.of_process(OSError(code, os.strerror(code), "/x/python")) == told
