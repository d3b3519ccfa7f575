"""A store that goes away under those who have it open: they notice, say so, and write no more."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from prokerja import Queue
from prokerja import waiting as waits
from prokerja.errors import StoreGone
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.open_files import OpenFiles
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.watch import Watch
from tests.harness.processes import has_open
from tests.harness.waiting import SOON, wait_until
from tests.sqlite.files import ROOT, START, asked
from tests.test_shortages import without

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.home import Home

GONE = 81


def moved(home: Home) -> None:
    home.db.rename(home.db.with_name("elsewhere"))


def deleted(home: Home) -> None:
    home.db.unlink()


def replaced(home: Home) -> None:
    other = home.path / "other.sqlite3"
    with Queue(other) as queue:
        queue.summary()
    other.rename(home.db)


def emptied(home: Home) -> None:
    os.truncate(home.db, 0)


def overwritten(home: Home) -> None:
    home.db.write_bytes(b"not a database " * 10_000)


def copied_over(home: Home) -> None:
    other = home.path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE theirs (n)")
    shutil.copyfile(other, home.db)


def without_log(home: Home) -> None:
    home.db.with_name(f"{home.db.name}-wal").unlink()


def without_index(home: Home) -> None:
    home.db.with_name(f"{home.db.name}-shm").unlink()


def without_lock(home: Home) -> None:
    home.db.with_name(f"{home.db.name}-worker-1").unlink()


def struck_off(home: Home) -> None:
    with closing(sqlite3.connect(home.db)) as database, database:
        database.execute("DELETE FROM worker")


def directory_moved(home: Home) -> None:
    home.db.parent.rename(home.db.parent.with_name("moved"))


@pytest.fixture
def folder(home: Home) -> Path:
    """A directory for the queue alone."""
    folder = home.path / "queue"
    folder.mkdir()
    home.db = folder / "queue.sqlite3"
    home.in_environment({"PROKERJA_DB": str(home.db)})
    return folder


GONE_AWAY = "{db} was deleted or moved away while the queue was open; put the right file there"
WRITTEN_OVER = "{db} was written over while it was open, and is not a queue any more; restore"
NEVER = "was deleted or moved away while the queue was open; never do that"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (moved, GONE_AWAY),
        (replaced, "{db} was replaced while the queue was open; put the right file there"),
        (overwritten, WRITTEN_OVER),
        (without_log, f"{{db}}-wal {NEVER}"),
        (without_lock, f"{{db}}-worker-1 {NEVER}"),
    ],
)
def test_an_idle_worker_notices_within_a_second_and_leaves_with_a_word(
    home: Home, folder: Path, harm: Callable[[Home], None], words: str
) -> None:
    worker = home.worker().ready()
    home.wait(home.run("pass"))
    wait_until(worker.asleep)
    harm(home)
    wait_until(lambda: "stopping: " in worker.said(), 1.0)
    assert worker.end() == GONE
    assert words.format(db=home.db) in worker.said()
    assert worker.said().count("stopping: ") == 1


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (deleted, GONE_AWAY),
        (directory_moved, GONE_AWAY),
        (emptied, WRITTEN_OVER),
        (copied_over, WRITTEN_OVER),
        (without_index, f"{{db}}-shm {NEVER}"),
        (struck_off, "{db} knows nothing of worker 1 any more: it was written over"),
    ],
)
def test_who_looks_closely_is_woken_and_sees(
    home: Home, folder: Path, harm: Callable[[Home], None], words: str
) -> None:
    repository = SQLiteRepository(str(home.db))
    member = repository.join(os.getpid(), 1e9, 1, Taking())
    with closing(repository.watch(guarded=True)) as watch:
        repository.refuse_gone(member.worker)
        harm(home)
        watch.wait(SOON)
        assert watch.suspects or harm is struck_off
        with pytest.raises(StoreGone, match=re.escape(words.format(db=home.db))):
            repository.refuse_gone(member.worker)
    repository.abandon()
    os.close(member.lock)


DECLARING = """
import os
from prokerja import Queue
from tests.harness.home import request
Queue().declare_many([request("run", code="pass")] * 3)
os._exit(0)  # as if it was killed: what it has declared stands in the log
"""


def test_jobs_may_end_in_their_grace_time_and_nothing_of_the_new_file_is_touched(
    home: Home,
) -> None:
    id = home.run("wait_for('gate'); note('ended')")
    worker = home.worker().ready()
    wait_until(lambda: home.running(id))
    home.queue.close()
    replaced(home)
    for name in ("-wal", "-shm"):
        home.db.with_name(home.db.name + name).unlink()
    wait_until(lambda: "stopping: " in worker.said(), SOON)
    home.in_environment({"PYTHONPATH": str(ROOT)})
    assert home.python(DECLARING).wait() == 0
    home.open("gate")
    assert worker.end() == GONE
    assert home.ledger() == ["ended"]
    assert "results of 1 job" in worker.said()
    with Queue(home.db) as other:
        assert other.summary().total.pending == 3
        assert other.repository.workers() == []


def test_closing_a_file_whose_log_was_replaced_takes_nothing_from_the_new_log(home: Home) -> None:
    repository = SQLiteRepository(str(home.db))
    repository.declarations.add([asked()], START)
    repository.database.shorten_log()
    repository.declarations.add([asked()], START)
    repository.files.check()
    for name in ("-wal", "-shm"):
        home.db.with_name(home.db.name + name).unlink()
    home.in_environment({"PYTHONPATH": str(ROOT)})
    assert home.python(DECLARING).wait() == 0
    repository.abandon()
    repository.close()
    # Another process tells: in this one, SQLite would go on with the old index of the log.
    assert "pending: 4" in home.cli("report")


def test_no_turn_is_taken_in_a_file_that_is_gone(home: Home) -> None:
    repository = SQLiteRepository(str(home.db))
    member = repository.join(os.getpid(), START, 1, Taking())
    repository.turn(member.worker, {}, [], None, START)
    moved(home)
    with pytest.raises(StoreGone):
        repository.turn(member.worker, {}, [], None, START + 1)
    repository.abandon()
    os.close(member.lock)


def test_what_only_the_deleted_log_held_is_saved(home: Home) -> None:
    worker = home.worker().ready()
    wait_until(worker.asleep)
    ids = home.run_each(["pass"] * 3, hold=True)
    home.queue.close()
    without_log(home)
    assert worker.end(2 * SOON) == GONE
    with Queue(home.db) as queue:
        assert [status.value for status in queue.repository.statuses(ids).values()] == [
            "pending"
        ] * 3


def test_a_result_that_found_no_file_is_written_once_the_file_is_back(home: Home) -> None:
    id = home.run("note('run'); wait_for('gate'); return 7", retries=0)
    worker = home.worker().ready()
    wait_until(lambda: home.running(id))
    away = home.db.rename(home.db.with_name("away"))
    wait_until(lambda: "stopping: " in worker.said(), SOON)
    home.open("gate")
    assert worker.end() == GONE
    away.rename(home.db)
    home.work()
    assert home.job(id)["result"] == 7
    assert home.ledger() == ["run"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs setpriv")
def test_a_file_that_is_made_read_only_is_one_that_goes_away(home: Home) -> None:
    drop = ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override")
    home.launcher = drop
    worker = home.worker().ready()
    wait_until(worker.asleep)
    home.db.chmod(0o444)
    assert worker.end(2 * SOON) == GONE
    assert f"{home.db} has become read-only for this user (uid 0)" in worker.said()


def test_a_damaged_file_ends_a_worker_with_a_word(home: Home) -> None:
    home.run_each(["pass"] * 500, hold=True)
    worker = home.worker().ready()
    with closing(sqlite3.connect(home.db)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with home.db.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (home.db.stat().st_size - 4096))
    with closing(sqlite3.connect(home.db)) as database:
        database.execute("PRAGMA user_version = 8")  # wakes the worker, and has it read
    assert worker.end(2 * SOON) == GONE
    assert "`prokerja doctor` tells more, `prokerja help moving`" in worker.said()


def test_without_inotify_it_is_noticed_as_well(home: Home) -> None:
    home.launcher = without("max_inotify_instances", 0)
    worker = home.worker().ready()
    moved(home)
    assert worker.end(2 * SOON) == GONE


def test_with_too_few_inotify_watches_it_is_noticed_as_well(home: Home) -> None:
    home.launcher = without("max_inotify_watches", 2)
    worker = home.worker("--no-watch").ready()
    assert "cannot be watched" not in worker.said()
    moved(home)
    assert worker.end(2 * SOON) == GONE


def test_a_busy_worker_notices_too(home: Home) -> None:
    gate = home.run_each(["wait_for('gate')"] * 2)
    worker = home.worker("--realizers", "2", "--grace", "0s").ready()
    wait_until(lambda: all(map(home.running, gate)))
    deleted(home)
    assert worker.end(2 * SOON) == GONE


@pytest.mark.parametrize("words", [("wait", 1), ("output", "--follow", 1)])
def test_who_waits_for_a_job_is_told(home: Home, words: tuple[object, ...]) -> None:
    home.run("pass", hold=True)
    waiting = home.start(*words)
    wait_until(lambda: waiting.poll() is not None or has_open(waiting.pid, "inotify"))
    moved(home)
    _, err = waiting.communicate(timeout=waits.MAX_SLEEP_SECONDS / 3)
    assert waiting.returncode == GONE
    assert b"was deleted or moved away while the queue was open" in err


def test_checkpoints_and_vacuum_are_no_harm_and_an_idle_worker_does_not_look(home: Home) -> None:
    worker = home.worker().ready()
    for _ in range(3):
        home.wait(home.run("return 'x' * 10_000"))
        with closing(sqlite3.connect(home.db, timeout=10)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("VACUUM")
    home.wait(home.run("pass"))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


def test_a_close_look_leaves_the_locks_of_the_process_and_few_descriptors(home: Home) -> None:
    with closing(SQLiteRepository(str(home.db))) as repository:
        files = OpenFiles(str(home.db))
        with repository.database.writing():
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(5):
                files.check_header()
            assert len(os.listdir("/proc/self/fd")) <= before + 1
            other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0)"
            tried = home.python(f"{other}; c.execute('BEGIN IMMEDIATE')", home.db)
            assert tried.wait() == 1


def test_a_log_that_was_moved_into_the_file_in_part_is_no_harm(home: Home) -> None:
    with Queue(home.db) as queue:
        queue.summary()
    files = OpenFiles(str(home.db))
    files.check_header()
    os.truncate(home.db, home.db.stat().st_size - 4096)
    files.check_header()
    os.truncate(home.db, 4096)
    files.check_header()


def test_files_that_others_replace_for_no_reason_of_ours_are_watched_by_their_names(
    tmp_path: Path,
) -> None:
    path = tmp_path / "queue"
    with closing(SQLiteRepository(str(path))) as repository:
        repository.summary(None, 0.0)
        with closing(repository.watch(guarded=True)) as watch:
            assert isinstance(watch, Watch)
            assert watch.sees_files
            watch.drain()
            assert not watch.suspects
            (tmp_path / "another").touch()
            watch.drain()
            assert not watch.suspects
            repository.files.check()
            path.rename(tmp_path / "away")
            watch.drain()
            assert watch.suspects
            with pytest.raises(StoreGone):
                repository.files.check()
            repository.abandon()
