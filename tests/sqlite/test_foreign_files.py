"""What is not ours, or newer than we are, is refused and left alone."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja.errors import Outdated, ProkerjaError, StoreError, TryAgain
from prokerja.model.declaration import Lane, Status
from prokerja.model.worker import Taking
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Membership
from prokerja.verdicts import Completed, Failed, Released
from tests.crash import newer
from tests.crash.disk import SECTOR
from tests.crash.invariants import faults
from tests.sqlite.files import ROOT, START, asked, declare, refusal, take
from tests.sqlite.test_query_cost import SPEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.verdicts import Settlement


def fingerprint(path: Path) -> tuple[str, list[str]]:
    """The bytes of the file, and what lies beside it."""
    beside = sorted(entry.name for entry in path.parent.iterdir())
    return hashlib.sha256(path.read_bytes()).hexdigest(), beside


def assert_let_go(path: Path) -> None:
    """This process holds the file and its companions no more."""
    held = [file.path for file in psutil.Process().open_files()]
    assert [name for name in held if name.startswith(str(path))] == []


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("header", ["", "PRAGMA application_id = 1", "PRAGMA user_version = 1"])
def test_somebody_elses_database_is_refused_and_left_as_it_was(
    path: Path, journal: str, header: str
) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {journal}")
    other.execute("CREATE TABLE declaration (id INTEGER PRIMARY KEY, what TEXT)")
    other.execute("INSERT INTO declaration (what) VALUES ('bookmarks')")
    other.execute(header)
    other.close()
    before = fingerprint(path)
    with pytest.raises(StoreError, match="is a database, but not one of prokerja's; pass another"):
        SQLiteRepository(str(path))
    assert fingerprint(path) == before


def test_somebody_elses_database_in_use_is_refused_and_can_be_used_on(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = wal")
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1)")
    refusal(lambda: SQLiteRepository(str(path)))
    other.execute("COMMIT")
    assert other.execute("SELECT x FROM t").fetchall() == [(1,)]
    other.close()


ABANDON = """
import os, signal, sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA journal_mode = wal")
other.execute("CREATE TABLE bookmarks (what TEXT)")
other.execute("INSERT INTO bookmarks VALUES ('mine')")
os.kill(os.getpid(), signal.SIGKILL)
"""
OPEN = """
import sys
from prokerja.errors import StoreError
from prokerja.repository.sqlite.repository import SQLiteRepository
try:
    SQLiteRepository(sys.argv[1])
except StoreError as error:
    print(error)
"""


def test_somebody_elses_log_is_left_to_them_when_their_program_was_killed(path: Path) -> None:
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", ABANDON, str(path)], check=False)
    log = Path(f"{path}-wal")
    before = path.read_bytes(), log.read_bytes()
    assert before[1], "their last words stand in the log only"
    command = [sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "not one of prokerja's" in done.stdout
    assert path.read_bytes() == before[0]
    assert log.read_bytes() == before[1]


def test_a_file_whose_making_a_power_cut_has_cut_off_is_made_anew(path: Path) -> None:
    path.parent.mkdir()
    blank = sqlite3.connect(path)
    blank.execute("PRAGMA journal_mode = wal")
    blank.close()
    Path(f"{path}-wal").touch()
    # The journal of that first write, which stands there again: of no page, into a file of none.
    magic = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    journal = magic + struct.pack(">5I", 0, 7, 0, SECTOR, path.stat().st_size)
    Path(f"{path}-journal").write_bytes(journal.ljust(SECTOR, b"\0"))
    assert declare(path) == [1]
    assert not Path(f"{path}-journal").exists()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_was(path: Path) -> None:
    declare(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    before = fingerprint(path)
    message = refusal(lambda: SQLiteRepository(str(path)))
    assert "was written by a newer prokerja" in message
    assert f"schema {schema.VERSION + 1}, this one knows {schema.VERSION}" in message
    assert message.endswith("upgrade this program")
    assert fingerprint(path) == before


@pytest.mark.parametrize("kind", ["foreign", "newer", "text"])
def test_a_refused_file_is_let_go_at_once(path: Path, kind: str) -> None:
    """Not only when the error has been forgotten, on which a connection hangs till then."""
    declare(path)
    if kind == "text":
        path.write_text("Dear diary, " * 1000)
    else:
        meddler = sqlite3.connect(path)
        statement = "application_id = 1" if kind == "foreign" else "user_version = 99"
        meddler.execute(f"PRAGMA {statement}")
        meddler.close()
    with pytest.raises(StoreError) as caught:
        SQLiteRepository(str(path))
    assert_let_go(path)
    assert caught.value is not None
    assert [entry.name for entry in path.parent.iterdir()] == ["q.db"]


def dump(path: Path) -> list[str]:
    """All that is in the file."""
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def test_no_verb_writes_to_a_file_that_a_newer_program_has_migrated_meanwhile(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    [lane] = repository.lanes.matching(None, None)
    newer.migrate(str(path))
    before = dump(path)
    declarations, workers = repository.declarations, repository.registry
    fresh_starts, purging = repository.fresh_starts, repository.purging
    writing: list[Callable[[], object]] = [
        lambda: declarations.add_one(asked(), START),
        lambda: declarations.add([asked()], START),
        lambda: declarations.add([asked(lane=Lane("new", "noop", 0))], START),
        lambda: fresh_starts.retry([1], START),
        lambda: fresh_starts.retry_failed([lane], START),
        lambda: purging.purge([lane], Status.PENDING, START + 1),
        lambda: workers.register(1, START, 1, Taking((), ())),
        lambda: workers.set_names(1, ["noop"]),
        lambda: repository.catalog.record("/", {}, (), [SPEC]),
    ]
    for verb in writing:
        assert refusal(verb, Outdated) == (
            f"{path} was written by a newer prokerja (schema {newer.NEXT}, this one knows"
            f" {schema.VERSION}); upgrade this program"
        )
    assert dump(path) == before
    repository.close()


def test_who_waits_for_the_lock_while_the_file_is_migrated_notices(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    migrating = sqlite3.connect(path, isolation_level=None)
    migrating.execute("BEGIN IMMEDIATE")
    migrating.execute(f"PRAGMA user_version = {newer.NEXT}")
    repository.database.patience = 0.01
    refusal(lambda: repository.declarations.add([asked()], START), TryAgain)
    repository.database.patience = 30.0
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(repository.declarations.add, [asked()], START)
        assert not waiting.done()
        migrating.execute("COMMIT")
        refusal(waiting.result, Outdated)
    assert migrating.execute("SELECT count(*) FROM declaration").fetchone() == (0,)
    migrating.close()
    repository.close()


def test_what_a_worker_has_begun_can_be_ended_in_a_file_of_a_newer_program(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked() for _ in range(6)], START)
    worker, lock = repository.registry.register(1, START, 1, Taking((), ()))
    claimed = take(repository, worker * TURNS + 1, 5)
    newer.migrate(str(path))
    done, lost, back, retried, slow = ((claim.id, claim.lane) for claim in claimed)
    verdicts: list[Settlement] = [
        (*done, Completed(START, START + 1, "1", (asked(lane=Lane("new", "noop", 0)),))),
        (*lost, Failed(START, START + 1, "no", "here")),
        (*back, Released(counted=True)),
        (*retried, Released(counted=False)),
    ]
    claims, token = repository.claims, claimed[0].token
    with repository.database.writing(draining=True):
        claims.started(token, [(slow[0], START)], START)
        claims.settle(token, verdicts, START + 1, lambda: 0.5)
    with repository.database.writing(draining=True):
        claims.settle(token, [(*slow, Completed(START, START + 9, None))], START + 9, lambda: 0.5)
    repository.registry.unregister(Membership(worker, lock), 2e9)
    assert repository.registry.all() == []
    assert [tally.counts() for tally in repository.lanes.tallies()] == [
        {"pending": 3, "processing": 0, "completed": 2, "failed": 1},
        {"pending": 1, "processing": 0, "completed": 0, "failed": 0},
    ]
    assert list(faults(repository.database.connection)) == []
    repository.close()


@pytest.mark.parametrize("content", [b"xy", b"Dear diary,\n" * 1000, b"\0" * 4096, b"\xff" * 100])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    before = fingerprint(path)
    assert "is not an SQLite database; pass another --db" in refusal(
        lambda: SQLiteRepository(str(path))
    )
    assert fingerprint(path) == before


def test_a_directory_is_no_database(path: Path) -> None:
    path.mkdir(parents=True)
    assert refusal(lambda: SQLiteRepository(str(path))) == (
        f"{path} is not a file; pass a --db that names one"
    )


def test_a_fifo_is_no_database_and_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    assert "is not a file" in refusal(lambda: SQLiteRepository(str(path)))


def test_a_device_is_no_database() -> None:
    assert "is not a file" in refusal(lambda: SQLiteRepository("/dev/null"))


@pytest.mark.parametrize("below", ["q.db", "deep/er/q.db"])
def test_a_file_in_the_place_of_a_directory_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refusal(lambda: SQLiteRepository(str(tmp_path / "file" / below)))
    assert str(tmp_path / "file") in message


def test_a_path_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    refusal(lambda: SQLiteRepository(str(tmp_path / ("q" * 300))))


def test_a_path_with_a_nul_in_it_is_refused() -> None:
    with pytest.raises(ProkerjaError):
        SQLiteRepository("/tmp/a\0b")


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refusal(lambda: SQLiteRepository(str(tmp_path / "a")))


def test_a_path_whose_name_is_not_unicode_works(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db")
    assert declare(path) == [1]
    assert os.path.exists(path)


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "50%.db", "#1.db", "file:q.db", "ö.db"])
def test_no_character_of_a_path_means_anything_to_sqlite(tmp_path: Path, name: str) -> None:
    assert declare(tmp_path / name) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_empty_file_is_adopted(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert declare(path) == [1]
    assert declare(path) == [2]
