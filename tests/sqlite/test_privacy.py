"""Who may read and write a queue's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from prokerja.errors import NotFound
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.files import START, as_nobody, asked, declare, given_to_nobody, mode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_directory_file_and_companions_are_private_whatever_the_umask(
    path: Path, mask: int
) -> None:
    old = os.umask(mask)
    try:
        repository = SQLiteRepository(str(path))
        repository.declarations.add([asked()], START)
        _, lock = repository.registry.register(os.getpid(), START, 1, Taking((), ()))
    finally:
        os.umask(old)
    assert mode(path.parent) == 0o700 & ~mask
    names = {entry.name: mode(entry) for entry in path.parent.iterdir()}
    assert names.keys() == {"q.db", "q.db-wal", "q.db-shm", "q.db-worker-1"}
    assert set(names.values()) == {0o600 & ~mask}
    os.close(lock)
    repository.close()


def test_a_directory_that_is_there_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    declare(path)
    assert mode(path.parent) == 0o755
    assert mode(path) == 0o600


def test_nothing_is_left_beside_a_file_that_was_closed_in_good_order(path: Path) -> None:
    declare(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["q.db"]


def test_a_file_that_is_not_there_is_not_made_when_only_asked_about(path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no queue at .*q\.db yet; declare a job to make"):
        SQLiteRepository(str(path), create=False)
    assert not path.parent.exists()


@pytest.mark.parametrize("create", [[], ["create"]])
def test_a_file_that_this_user_may_only_read_is_refused(public: Path, create: list[str]) -> None:
    path = public / "q.db"
    declare(path)
    given_to_nobody(path, 0o444)
    given_to_nobody(public, 0o755)
    kind, message, code = as_nobody(path, *create)
    assert (kind, code) == ("StoreError", 1)
    assert message.startswith(f"{path} cannot be written by this user (uid ")
    assert message.endswith("mode 0444; change its owner or mode, or pass another --db")


def test_a_file_of_somebody_else_is_refused(public: Path) -> None:
    path = public / "q.db"
    declare(path)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    given_to_nobody(public, 0o755)
    kind, message, _ = as_nobody(path)
    assert kind == "StoreError"
    assert f"{path} cannot be written by this user" in message


def test_a_file_in_a_directory_that_this_user_may_not_write_to_is_refused(public: Path) -> None:
    path = public / "q.db"
    declare(path)
    given_to_nobody(path, 0o600)
    public.chmod(0o555)
    kind, message, _ = as_nobody(path)
    assert kind == "StoreError"
    assert message.startswith(f"{public}, which holds the database, cannot be written by this user")
    assert "SQLite keeps its log beside the file" in message


@pytest.mark.parametrize("name", ["q.db", "deeper/q.db"])
def test_a_file_cannot_be_made_where_this_user_may_not_write(public: Path, name: str) -> None:
    public.chmod(0o555)
    kind, message, _ = as_nobody(public / name, "create")
    assert kind == "StoreError"
    assert message.startswith(f"cannot make {public / name}: Permission denied; check ")


def test_a_file_in_a_directory_that_this_user_may_not_enter_is_refused(public: Path) -> None:
    (public / "closed").mkdir(mode=0o700)
    declare(public / "closed" / "q.db")
    (public / "closed").chmod(0o700 if os.geteuid() == 0 else 0)
    kind, message, _ = as_nobody(public / "closed" / "q.db")
    assert kind == "StoreError"
    assert message.endswith("Permission denied; check the path and its permissions")


def test_a_user_with_no_special_rights_can_use_a_file_of_its_own(public: Path) -> None:
    declare(public / "q.db")
    given_to_nobody(public / "q.db", 0o600)
    given_to_nobody(public, 0o700 if os.geteuid() == 0 else 0o755)
    public.chmod(0o755)
    assert as_nobody(public / "q.db") == ["fine", ""]
