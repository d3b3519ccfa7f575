"""What is told of a file in the wrong place, or of another user."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from prokerja.model.check import State
from prokerja.repository.sqlite import opening
from prokerja.repository.sqlite.examination import place
from prokerja.repository.sqlite.opening import FORCE
from tests.sqlite.examining import examined, fault, log_of_the_killed
from tests.sqlite.files import ROOT, declare, given_to_nobody, mode

if TYPE_CHECKING:
    from pathlib import Path


NOBODY = 65534


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
