"""A queue of several users: of a group by its mode, and beside what another user has left.

Run by root, commands run as two real users of one group; run by anybody else, as that one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.documents import PAGES, blocks
from tests.harness.home import PROGRAM
from tests.harness.jobs import SOME
from tests.harness.processes import kill
from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.geteuid() == 0
ALICE, BOB = (41001, 41002) if ROOT else (os.geteuid(), os.geteuid())
GROUP = 42001 if ROOT else os.getegid()

OURS = {sys.base_prefix, sys.prefix, os.path.dirname(os.path.dirname(__file__))}
"""What other users must be able to read if they are to run what we run."""

RECIPE = (
    blocks(PAGES["sharing"], "sh")[0]
    .text.replace("$(id -gn)", "$GROUP")
    .replace("queue/prokerja.sqlite3", '"$FOLDER/queue.sqlite3"')
    .replace(" queue\n", ' "$FOLDER"\n')
)
"""How the guide shares a queue with a group, here ours."""


def becoming(user: int) -> list[str]:
    """The beginning of a command that runs as that user, if we may choose."""
    if not ROOT:
        return []
    who = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={GROUP}", "--"]
    closed = {folder for path in OURS if (folder := closed_above(path))}
    if not closed:
        return who
    # Lay open what they need, in a mount namespace of their own.
    script = ["set -e", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    inside = sorted(path for path in OURS if closed_above(path))
    for number, path in enumerate(inside):
        script += [f"mkdir /mnt/{number}", f"mount --bind {quote(path)} /mnt/{number}"]
    script += [f"mount -t tmpfs -o mode=755 tmpfs {quote(folder)}" for folder in sorted(closed)]
    for number, path in enumerate(inside):
        script += [f"mkdir -p {quote(path)}", f"mount --bind /mnt/{number} {quote(path)}"]
    return ["unshare", "--mount", "sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", *who]


def closed_above(path: str) -> str:
    """The topmost folder on the way to a path through which others cannot go."""
    for folder in reversed(Path(path).parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return str(folder)
    return ""


class Place:
    """A folder for a queue, with a jobs directory beside it that everybody may read."""

    def __init__(self, path: Path) -> None:
        path.chmod(0o755)
        self.folder = path / "shared"
        self.db = self.folder / "queue.sqlite3"
        self.jobs = path / "jobs"
        self.jobs.mkdir()
        (self.jobs / "some.py").write_text(SOME)
        self.gate = path / "gate"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, user: int | None, *words: object) -> subprocess.Popen[str]:
        """Start a program as a user with the umask that most people have; None for ourselves."""
        process = subprocess.Popen(
            [*([] if user is None else becoming(user)), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd="/",
            umask=0o022,
            env={
                "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GROUP": str(GROUP),
                "FOLDER": str(self.folder), "PROKERJA_DB": str(self.db),
                "PROKERJA_JOBS": str(self.jobs), "PYTHONDONTWRITEBYTECODE": "1",
            },
            start_new_session=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, user: int | None, *words: object) -> str:
        """What `prokerja` prints; it must do well, and say nothing else."""
        process = self.start(user, PROGRAM, *words)
        out, err = process.communicate(timeout=2 * PATIENCE)
        assert (process.returncode, err) == (0, ""), err
        return out

    def work(self, user: int) -> str:
        """Have a user's worker do what is due; what it said."""
        process = self.start(user, PROGRAM, "realization:start", "--until-empty")
        _, err = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0, err
        return err

    def holding(self, user: int | None) -> subprocess.Popen[str]:
        """A user's worker that has a job in hand, which runs until the gate is open."""
        worker = self.start(user, PROGRAM, "realization:start")
        self.run(ALICE, "declare:job", "hold", f"gate={self.gate}")
        wait_until(lambda: "\nprocessing: 1\n" in self.run(ALICE, "report"))
        return worker

    def workers(self, user: int) -> int:
        """How many workers live, as that user sees it."""
        return len(json.loads(self.run(user, "report", "--json"))["workers"])

    def locks(self) -> list[Path]:
        return sorted(self.folder.glob("*-worker-*"))

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                kill([psutil.Process(process.pid)])
            process.communicate()


@pytest.fixture
def place() -> Iterator[Place]:
    """Not below pytest's own folder, into which no other user may look."""
    path = Path(tempfile.mkdtemp(prefix="prokerja-sharing-"))
    place = Place(path)
    yield place
    place.close()
    shutil.rmtree(path)


@pytest.fixture
def shared(place: Place) -> Place:
    """By the recipe."""
    made = place.start(None, "sh", "-euc", RECIPE)
    assert made.communicate() == ("", "")
    return place


@pytest.fixture
def private(place: Place) -> Place:
    """A folder and a file of one user alone."""
    place.folder.mkdir(0o700)
    os.chown(place.folder, ALICE, -1)
    place.run(ALICE, "report:jobs") if place.db.exists() else place.run(
        ALICE, "declare:job", "noop"
    )
    place.work(ALICE)
    return place


def close_to_others(lock: Path) -> None:
    """As if the worker of another user had made the lock, who does not share it."""
    if ROOT:
        os.chown(lock, 0, 0)
    lock.chmod(0o600 if ROOT else 0)


def test_every_member_of_a_group_can_use_a_queue_that_is_shared_by_the_recipe(
    shared: Place,
) -> None:
    assert shared.run(ALICE, "declare:job", "noop") == "1\n"
    assert shared.run(BOB, "declare:job", "fail") == "2\n"
    sql = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as c:\n c.execute(sys.argv[2])"
    insert = "INSERT INTO declare (job) VALUES ('noop')"
    told = shared.start(BOB, sys.executable, "-c", sql, shared.db, insert).communicate()
    assert told == ("", "")
    worker = shared.start(ALICE, PROGRAM, "realization:start")
    done = "ProKerja Report\npending: 0\nprocessing: 0\ncompleted: 2\nfailed: 1\n"
    for user in (ALICE, BOB):
        wait_until(lambda: shared.run(ALICE, "report") == done)
        assert shared.run(user, "report") == done
        assert shared.workers(user) == 1
        assert "fail, failed" in shared.run(user, "report:job", "2")
    assert [stat.S_IMODE(lock.stat().st_mode) for lock in shared.locks()] == [0o660]
    assert [lock.stat().st_gid for lock in shared.locks()] == [GROUP]
    assert shared.run(BOB, "retry", "2") == "1\n"
    worker.terminate()
    worker.communicate(timeout=PATIENCE)
    shared.run(BOB, "declare:job", "noop")
    assert "stopped: 1 attempt completed" in shared.work(BOB)
    assert shared.locks() == []


def test_a_member_puts_back_what_the_killed_worker_of_another_held(shared: Place) -> None:
    worker = shared.holding(ALICE)
    shared.gate.touch()
    shared.gate.unlink()
    worker.kill()
    worker.wait()
    wait_until(lambda: shared.workers(BOB) == 0)
    assert "its worker is dead" in shared.run(BOB, "report:job", "1")
    shared.gate.touch()
    assert "is dead; put back what it held: 1 job" in shared.work(BOB)
    assert shared.run(BOB, "wait", "1", "--json") == '{"1": "completed"}\n'
    assert shared.locks() == []


def test_a_lock_is_private_where_the_queue_is(private: Place) -> None:
    worker = private.start(ALICE, PROGRAM, "realization:start")
    [lock] = wait_until(private.locks)
    wait_until(lambda: private.workers(ALICE))
    facts = lock.stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (ALICE, 0o600)
    worker.kill()
    if ROOT:  # whose worker leaves nothing that the owner could not use
        private.work(ALICE)
        private.start(None, PROGRAM, "realization:start")
        [lock] = wait_until(private.locks)
        wait_until(lambda: lock.stat().st_uid == ALICE)


def test_whether_a_worker_lives_whose_lock_is_closed_to_us_is_reported_all_the_same(
    private: Place,
) -> None:
    worker = private.holding(None)
    [lock] = private.locks()
    close_to_others(lock)
    assert private.workers(ALICE) == 1
    assert "running:" in private.run(ALICE, "report:job", "2")
    other = private.start(ALICE, PROGRAM, "realization:start")
    wait_until(lambda: private.workers(ALICE) == 2)
    assert "\nprocessing: 1\n" in private.run(ALICE, "report")
    os.killpg(other.pid, signal.SIGTERM)
    assert "put back" not in other.communicate(timeout=PATIENCE)[1]
    worker.kill()
    worker.wait()
    wait_until(lambda: private.workers(ALICE) == 0)
    private.gate.touch()
    assert "is dead; put back what it held: 1 job" in private.work(ALICE)
    assert private.locks() == []


def test_a_lock_that_cannot_be_deleted_is_named_once_and_holds_nobody_up(private: Place) -> None:
    worker = private.holding(None)
    [lock] = private.locks()
    worker.kill()
    worker.wait()
    private.gate.touch()
    if ROOT:  # sticky: whoever may write into the folder may not delete what others have made
        close_to_others(lock)
        os.chown(private.folder, 0, GROUP)
        private.folder.chmod(0o3770)
    else:
        lock.unlink()
        (lock / "in the way").mkdir(parents=True)
    told = private.work(ALICE)
    assert f"cannot delete {lock}, which a dead worker has left: " in told
    assert "put back what it held: 1 job" in told
    assert str(lock) not in private.work(ALICE)
    assert "\ncompleted: 2\n" in private.run(ALICE, "report")


def test_an_old_lock_of_another_user_in_the_way_of_a_new_worker_is_replaced(place: Place) -> None:
    place.folder.mkdir(0o700)
    os.chown(place.folder, ALICE, -1)
    left = place.folder / "queue.sqlite3-worker-1"
    left.touch()
    close_to_others(left)
    place.run(ALICE, "declare:job", "noop")
    assert "worker 1 started" in place.work(ALICE)
    assert place.locks() == []


def test_who_may_not_look_into_the_jobs_directory_declares_what_its_owner_has_recorded(
    shared: Place,
) -> None:
    shared.run(ALICE, "declare:job", "noop")
    shared.jobs.chmod(0o700 if ROOT else 0)
    shared.jobs.parent.chmod(0o711)
    words = ("sh", "-c", 'unset PROKERJA_JOBS; exec "$0" declare:job noop n=1', PROGRAM)
    out, err = shared.start(BOB, *words).communicate(timeout=PATIENCE)
    assert (out, err) == ("2\n", "")
    assert f"  jobs:        {shared.jobs}\n" in shared.run(BOB, "report:job", "2")
    shared.jobs.chmod(0o755)
