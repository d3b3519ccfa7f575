"""Where a file may lie, and by which paths it is reached."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prokerja.model.worker import Taking
from prokerja.repository.sqlite import opening
from prokerja.repository.sqlite.opening import (
    FORCE,
    NETWORK,
    filesystem,
    refuse_network,
)
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.files import START, declare, refusal

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite's version is no store of ours, and no old one is at hand.
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.36.0")
    assert "SQLite 3.36.0 is too old; prokerja needs 3.37" in refusal(
        lambda: SQLiteRepository(str(path))
    )
    assert not path.parent.exists()


def mounts() -> dict[str, str]:
    """The file system at each mount point, the topmost where there are several."""
    if sys.platform == "linux":
        lines = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
        return {point.replace("\\040", " "): kind for _, point, kind, *_ in lines}
    told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^.* on (.+) \((\w+)", told, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("point", ["/", "/proc", "/proc/self/fd", "/dev/shm", "/dev/null"])
def test_the_file_system_of_a_path_is_what_the_mount_table_says(point: str) -> None:
    table = mounts()
    nearest = max((p for p in table if Path(point).resolve().is_relative_to(p)), key=len)
    assert filesystem(point) == table[nearest]
    if point == "/proc":
        assert filesystem(point) == "proc"


def test_the_file_system_of_what_is_not_there_yet_is_that_of_its_place(tmp_path: Path) -> None:
    assert filesystem(str(tmp_path / "not" / "yet")) == filesystem(str(tmp_path)) != ""


@pytest.fixture
def lying_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make every path lie on a file system of that kind.

    No network file system can be mounted without a server and root, so the answer of the mount
    table is replaced; that the table is read rightly is tested above.
    """
    monkeypatch.delenv(FORCE, raising=False)
    return lambda kind: monkeypatch.setattr(opening, "filesystem", lambda _: kind)


@pytest.mark.parametrize("kind", [*sorted(NETWORK), "fuse.sshfs", "fuse.rclone"])
def test_a_network_file_system_is_refused_with_its_kind_and_the_way_round(
    path: Path, lying_on: Callable[[str], None], kind: str
) -> None:
    lying_on(kind)
    message = refusal(lambda: SQLiteRepository(str(path)))
    assert f"lies on a network file system ({kind}), where SQLite's locks fail" in message
    assert f"set {FORCE}=1 if you know better" in message
    assert not path.exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "apfs", "overlay", ""])
def test_a_local_file_system_is_taken(
    path: Path, lying_on: Callable[[str], None], kind: str
) -> None:
    lying_on(kind)
    assert declare(path) == [1]


def test_who_knows_better_may_use_a_network_file_system(
    path: Path, lying_on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_on("nfs4")
    monkeypatch.setenv(FORCE, "")
    refusal(lambda: refuse_network(str(path)))
    monkeypatch.setenv(FORCE, "1")
    refuse_network(str(path))
    assert declare(path) == [1]


def test_a_link_to_the_file_leads_to_the_same_jobs_and_the_same_worker_locks(
    path: Path, tmp_path: Path
) -> None:
    declare(path)
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    real = SQLiteRepository(str(path))
    id, lock = real.registry.register(os.getpid(), START, 1, Taking((), ()))
    for other in (tmp_path / "link.db", tmp_path / "folder" / "q.db", path.parent / ".." / "here"):
        linked = SQLiteRepository(str(other if other.name.endswith(".db") else other / "q.db"))
        assert linked.registry.lock_path(id) == real.registry.lock_path(id)
        assert [worker.id for worker in linked.registry.living()] == [id]
        linked.close()
    os.close(lock)
    assert real.registry.living() == []
    real.close()


def test_a_link_to_a_file_that_is_not_there_yet_makes_it_there(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    assert declare(tmp_path / "link.db") == [1]
    assert declare(path) == [2]
    assert (tmp_path / "link.db").is_symlink()
