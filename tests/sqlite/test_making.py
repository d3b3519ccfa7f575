"""Files that are copied, restored, and made by many at once."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.watch import Watch
from tests.sqlite.files import ROOT, declare

if TYPE_CHECKING:
    from pathlib import Path


def test_a_copy_made_by_vacuum_is_used_like_the_original(path: Path, tmp_path: Path) -> None:
    """VACUUM INTO is how one backs up a live file; its copy is no longer in WAL mode."""
    declare(path)
    copy = tmp_path / "copy.db"
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    assert declare(copy) == [2]
    repository = SQLiteRepository(str(copy))
    assert repository.database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    Watch(str(copy)).close()
    repository.close()


def test_a_copy_made_by_the_backup_of_sqlite_is_used_like_the_original(
    path: Path, tmp_path: Path
) -> None:
    declare(path)
    source, target = sqlite3.connect(path), sqlite3.connect(tmp_path / "copy.db")
    source.backup(target)
    source.close()
    target.close()
    repository = SQLiteRepository(str(tmp_path / "copy.db"))
    assert repository.database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    repository.close()


HERD = """
import os, signal, sys
from prokerja.model.declaration import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
import prokerja.repository.sqlite.claims, psutil
path, count = sys.argv[1], int(sys.argv[2])
ready, go = os.pipe(), os.pipe()
children = []
for number in range(count):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(go[1])
            os.write(ready[1], b".")
            os.read(go[0], 1)
            lane = Lane("default", f"n{number % 3}", 0)
            repository = SQLiteRepository(path)
            ids = repository.declarations.add([Declaration(lane, "{}", 0.0, 0, 1.0, None)], 2e9)
            os.write(1, f"{ids[0]}\\n".encode())
            code = 0
        except BaseException as error:
            os.write(2, f"{error!r}\\n".encode())
        finally:
            os._exit(code)
    children.append(child)
for _ in children:
    os.read(ready[0], 1)
os.close(go[1])
for child in children:
    os.waitpid(child, 0)
"""


def schema_of(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
    connection.close()
    return rows


def test_thirty_processes_that_make_the_file_at_once_make_one(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HERD, str(path), "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    assert sorted(map(int, done.stdout.split())) == list(range(1, 31))
    declare(tmp_path / "other.db")
    assert schema_of(path) == schema_of(tmp_path / "other.db")
    repository = SQLiteRepository(str(path))
    [tally] = repository.lanes.tallies()
    assert tally.pending == 30
    assert repository.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    repository.close()


def test_a_file_whose_making_was_killed_half_way_is_made_by_the_next(path: Path) -> None:
    for kill_at in (1, 2, 6, 11):
        command = [sys.executable, "-c", HALF, str(path), str(kill_at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert declare(path) == [1]
        shutil.rmtree(path.parent)


HALF = """
import os, signal, sys
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.repository import SQLiteRepository
statements = schema.statements
def killed(number):
    for n, statement in enumerate(statements(number), 1):
        if n == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement
schema.statements = killed
SQLiteRepository(sys.argv[1])
"""
