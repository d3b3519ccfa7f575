"""What is told of a file that is damaged, locked, foreign or of another version."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from prokerja import repository
from prokerja.model.check import State
from prokerja.model.record import Filter
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.examination import content
from prokerja.repository.sqlite.examination.content import check_integrity, check_writing
from prokerja.repository.sqlite.opening import MAX_LOG_BYTES
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.examining import examined, fault, folder, log_of_the_killed
from tests.sqlite.files import COMPANIONS, START, asked, declare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NAMES = ["file", "file system", "rights", "schema", "integrity", "log", "writing"]
"""All that is looked at."""


@pytest.fixture
def other() -> Iterator[list[sqlite3.Connection]]:
    """Connections of this process to close at the end."""
    connections: list[sqlite3.Connection] = []
    yield connections
    for one in connections:
        one.close()


def test_a_file_that_is_well_is_left_as_it_was(path: Path) -> None:
    declare(path)
    before = folder(path)
    checks = examined(path)
    assert list(checks) == NAMES
    assert {check.state for check in checks.values()} == {State.OK}
    assert folder(path) == before
    assert list(before) == ["q.db"], "and nothing stands beside it"


def test_the_log_of_a_killed_program_is_left_to_others(path: Path) -> None:
    declare(path)
    log_of_the_killed(path)
    before = folder(path)
    with repository.examined(str(path)) as found:
        assert found.is_current
        with closing(repository.open(str(path), create=False)) as store:
            assert len(store.newest(Filter(), 2)) == 1
    after = folder(path)
    assert after["q.db"] == before["q.db"]
    assert after["q.db-wal"].startswith(before["q.db-wal"])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
        assert not connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE name LIKE '%doctor%'"
        ).fetchone()


def test_the_write_is_a_real_one(path: Path, other: list[sqlite3.Connection]) -> None:
    declare(path)
    other.append(sqlite3.connect(path))
    other[0].execute("SELECT count(*) FROM declaration").fetchone()
    assert os.path.getsize(f"{path}-wal") == 0
    version = other[0].execute("PRAGMA data_version").fetchone()
    assert check_writing(str(path)).state is State.OK
    assert os.path.getsize(f"{path}-wal") > 2**17
    assert other[0].execute("PRAGMA data_version").fetchone() == version, "nobody can see it"


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE bookmarks (what TEXT)")
        connection.commit()
    before = folder(path)
    assert fault(path)[2:] == (
        f"{path} is a database, but not one of prokerja's", "pass another --db"
    )  # fmt: skip
    assert folder(path) == before


def test_a_newer_file_is_named_and_an_older_one_is_not_migrated(path: Path) -> None:
    declare(path)
    for version, state in ((schema.VERSION + 1, State.FAILED), (schema.VERSION - 1, State.OK)):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        before = folder(path)
        check = examined(path)["schema"]
        assert (check.state, str(version) in check.text) == (state, True)
        assert folder(path) == before
        with repository.examined(str(path)) as found:
            assert not found.is_current


def test_another_kind_of_journal_is_told_and_not_changed(path: Path) -> None:
    declare(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    assert "journal of mode delete" in examined(path)["schema"].text
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_damage_is_found_and_never_the_end_of_the_doctor(path: Path) -> None:
    declare(path)
    whole = path.read_bytes()
    chance = random.Random(7)
    found = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 20, 400))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        for ending in COMPANIONS:
            path.with_name(f"q.db{ending}").unlink(missing_ok=True)
        found |= {check.name for check in examined(path).values() if check.state is State.FAILED}
    path.write_bytes(whole[: len(whole) // 2])
    assert fault(path).name in ("integrity", "schema")
    assert "schema" in found


def test_damage_where_jobs_stand_is_found(path: Path) -> None:
    declare(path)
    with closing(sqlite3.connect(path)) as connection:
        [size] = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'declaration'"
        [page] = connection.execute(query).fetchone()
    damaged = bytearray(path.read_bytes())
    damaged[(page - 1) * size + 8 : page * size] = b"\xff" * (size - 8)
    path.write_bytes(damaged)
    check = fault(path)
    assert (check.name, f"{path} is damaged: " in check.text) == ("integrity", True)
    assert "restore a backup" in check.fix
    with repository.examined(str(path)) as found:
        assert not found.is_current


def test_looking_for_damage_ends_in_time_and_says_that_it_did_not_see_all(path: Path) -> None:
    declare(path)
    with closing(sqlite3.connect(path)) as connection:
        rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e5)"
        connection.execute(f"CREATE TABLE t AS {rows} SELECT i FROM n")
        connection.commit()
        assert check_integrity(connection, str(path)).text == "no damage found"
        check = check_integrity(connection, str(path), seconds=-1.0)
    assert check.state is State.OK
    assert "which is not all of the file; `sqlite3 " in check.text


def test_a_file_too_large_is_not_looked_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(path)
    monkeypatch.setattr(content, "MAX_INTEGRITY_BYTES", 1000)
    assert "the file is too large" in examined(path)["integrity"].text


LOCK = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
if "exclusive" in sys.argv:
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
other.execute("BEGIN IMMEDIATE")
other.execute("CREATE TABLE t (x)")
if "exclusive" in sys.argv:
    other.execute("COMMIT")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["writing", "exclusive"])
def test_who_keeps_a_file_locked_is_named(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "PATIENCE_SECONDS", 0.1)
    declare(path)
    command = [sys.executable, "-c", LOCK, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        checks = examined(path)
        process.kill()
    check = checks["writing"]
    assert check.state is State.FAILED
    if sys.platform == "linux":
        assert f"is kept locked by process {process.pid} (python" in check.text
    if how == "writing":
        assert checks["integrity"].state is State.OK, "which only reads"


def test_a_log_that_grows_is_told_with_who_reads_it(path: Path) -> None:
    declare(path)
    log_of_the_killed(path)
    os.truncate(f"{path}-wal", 2 * MAX_LOG_BYTES + 1)
    check = examined(path)["log"]
    assert check.state is State.WARNING
    assert f"has {2 * MAX_LOG_BYTES + 1:,} bytes" in check.text
    script = (
        "import sqlite3, sys\n"
        "other = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "other.execute('BEGIN')\n"
        "print(other.execute('SELECT count(*) FROM declaration').fetchone(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"(1,)\n"
        check = examined(path)["log"]
        process.send_signal(signal.SIGKILL)
    if sys.platform == "linux":
        assert f"is being read by process {process.pid} (" in check.text


def test_a_queue_that_is_used_meanwhile_is_used_on(path: Path) -> None:
    declare(path)
    store = SQLiteRepository(str(path))
    before = store.declarations.add_one(asked(), START)
    assert {check.state for check in examined(path).values()} == {State.OK}
    assert store.declarations.add_one(asked(), START) == before + 1
    store.close()
    assert [one.name for one in path.parent.iterdir()] == ["q.db"]


def test_an_sqlite_that_is_too_old_is_not_taken_for_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(path)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert "is too old" in fault(path).text


def test_a_queue_in_memory_needs_nothing() -> None:
    with repository.examined(repository.MEMORY) as found:
        assert [check.state for check in found.checks] == [State.OK]
