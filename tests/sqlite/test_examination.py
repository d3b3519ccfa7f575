"""What is told of a file that is damaged, locked, foreign, in the wrong place or another's."""

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
from prokerja.repository.sqlite import opening, schema
from prokerja.repository.sqlite.examination import content, place
from prokerja.repository.sqlite.examination.content import check_integrity, check_writing
from prokerja.repository.sqlite.opening import FORCE, MAX_LOG_BYTES
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.files import COMPANIONS, ROOT, START, asked, declare, given_to_nobody, mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prokerja.model.check import Check

NAMES = ["file", "file system", "rights", "schema", "integrity", "log", "writing"]
"""All that is looked at."""
NOBODY = 65534


def examined(path: Path) -> dict[str, Check]:
    """What was found, by name; each line can be printed, and says what to do if it is not well."""
    with repository.examined(str(path)) as found:
        checks = found.checks
    for check in checks:
        assert check.text.isprintable()
        assert check.fix.isprintable()
        assert bool(check.fix) or check.state is not State.FAILED, check
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    return {check.name: check for check in checks}


def fault(path: Path) -> Check:
    """The one check that fails."""
    [check] = [one for one in examined(path).values() if one.state is State.FAILED]
    return check


def folder(path: Path) -> dict[str, bytes]:
    """All that stands beside a file, and its content."""
    return {one.name: one.read_bytes() for one in path.parent.iterdir() if "-shm" not in one.name}


def log_of_the_killed(path: Path) -> None:
    """Leave a log that has not been moved into the file, and nobody who uses it."""
    script = (
        "import os, sqlite3, sys\n"
        "other = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "other.execute('CREATE TABLE more (x)')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert os.path.getsize(f"{path}-wal")


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


def test_a_file_that_is_not_there_will_be_made(path: Path) -> None:
    checks = examined(path)
    assert list(checks) == ["file", "file system"]
    assert checks["file"].text == f"there is no queue at {path} yet; the first declaration makes it"
    assert not path.parent.exists()


def test_an_empty_file_will_be_adopted(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert "is empty; the first declaration makes it a queue" in examined(path)["file"].text
    assert path.read_bytes() == b""


@pytest.mark.parametrize("kind", ["directory", "fifo", "text", "short"])
def test_what_is_no_database_is_named(path: Path, kind: str) -> None:
    path.parent.mkdir()
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("Dear diary, " * (1000 if kind == "text" else 1))
    check = fault(path)
    assert check.text.endswith(("is not a file", "is not an SQLite database"))
    assert check.fix.startswith("pass a")


def test_a_file_in_the_place_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for below in ("q.db", "deep/er/q.db"):
        assert str(tmp_path / "file") in fault(tmp_path / "file" / below).text


def test_links_that_lead_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert fault(tmp_path / "a").name == "file"


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


def test_a_network_file_system_is_refused_or_warned_of(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None can be mounted here, so the answer of the mount table is replaced."""
    declare(path)
    for module in (opening, place):
        monkeypatch.setattr(module, "filesystem", lambda _: "nfs4")
    monkeypatch.delenv(FORCE, raising=False)
    check = fault(path)
    assert (check.name, "network file system (nfs4)" in check.text) == ("file system", True)
    monkeypatch.setenv(FORCE, "1")
    check = examined(path)["file system"]
    assert (check.state, FORCE in check.text) == (State.WARNING, True)


AS_NOBODY = f"""
import os, psutil, sys
from prokerja import repository
from prokerja.repository.sqlite import examination
from prokerja.repository.sqlite.opening import filesystem
filesystem("/")
with repository.examined(sys.argv[1]) as found:
    pass
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
with repository.examined(sys.argv[1]) as found:
    for check in found.checks:
        print(check.name, check.state.value, check.text, check.fix, sep="|")
"""


def as_nobody(path: Path) -> str:
    """What a user with no special rights is told, as lines."""
    command = [sys.executable, "-c", AS_NOBODY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("closed", ["file", "folder", "log"])
def test_who_may_not_write_is_told_whose_it_is(public: Path, closed: str) -> None:
    path = public / "q.db"
    declare(path)
    given_to_nobody(path, 0o444 if closed == "file" else 0o600)
    given_to_nobody(public, 0o555 if closed == "folder" else 0o755)
    if closed == "log":
        log = path.with_name("q.db-wal")
        log.touch()
        log.chmod(0o400)
    told = as_nobody(path)
    public.chmod(0o755)
    assert (
        f"cannot be written by this user (uid {NOBODY if os.geteuid() == 0 else os.geteuid()})"
        in told
    )
    assert "|failed|" in told
    assert "\nwriting|" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_is_told_of_a_log_that_the_owner_cannot_write(path: Path) -> None:
    declare(path)
    log_of_the_killed(path)
    os.chown(path, NOBODY, NOBODY)
    check = fault(path)
    assert check.text.endswith(f"so uid {NOBODY}, to whom the file belongs, cannot write it")
    assert check.fix.startswith("chown --reference=")
    os.chown(f"{path}-wal", NOBODY, NOBODY)
    os.chown(f"{path}-shm", NOBODY, NOBODY)
    assert examined(path)["rights"].state is State.OK


def test_rights_of_everybody_are_warned_of(path: Path) -> None:
    declare(path)
    path.chmod(0o644)
    assert "every user can read all payloads" in examined(path)["rights"].text
    path.chmod(0o666)
    check = examined(path)["rights"]
    assert "every user can declare any command" in check.text
    subprocess.run(["sh", "-c", check.fix], check=True)
    assert mode(path) == 0o660
    path.parent.chmod(0o777)
    check = examined(path)["rights"]
    assert (check.state, "another file in the place of" in check.text) == (State.WARNING, True)
    path.parent.chmod(0o1777)
    assert examined(path)["rights"].state is State.OK


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
