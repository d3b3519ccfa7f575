"""What the doctor says of the units that are installed."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prokerja.doctor.unit import read_unit
from prokerja.doctor.units import DATA, check_units
from prokerja.model.check import State
from tests.harness.home import PROGRAM

if TYPE_CHECKING:
    from prokerja.model.check import Check
    from tests.harness.home import Home

HEAD = "[Unit]\nDescription=prokerja\nExecStart=/not/of/the/service\n\n[Service]\n"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the system's units, and a home without any."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("PROKERJA_DB", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "system"
    folder.mkdir()
    return folder


@pytest.fixture
def users(system: Path, tmp_path: Path) -> Path:
    """The folder of this user's units."""
    folder = tmp_path / "home" / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    return folder


def write(folder: Path, *lines: str, name: str = "prokerja.service") -> Path:
    unit = folder / name
    unit.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return unit


def told(system: Path, db: str = "/srv/q.db") -> list[Check]:
    return list(check_units(db, [str(system)]))


def state(system: Path, db: str = "/srv/q.db") -> State:
    [check] = told(system, db)
    return check.state


def test_no_unit_is_no_fault(system: Path) -> None:
    assert state(system) is State.OK
    write(system, name="other.service")
    (system / "prokerja.service").symlink_to(os.devnull)
    assert "no prokerja*.service is installed" in told(system)[0].text


@pytest.mark.parametrize(
    "lines",
    [
        ("ExecStart={program} realization:start --db /srv/q.db",),
        ("ExecStart=-{program} realization:start \\", "  --db=/srv/q.db"),
        ("ExecStart=/bin/false", "ExecStart=", "ExecStart=@{program} x --db /srv/q.db"),
        ("# ExecStart=/bin/false", "ExecStart={program}", "Environment=A=1 PROKERJA_DB=/srv/q.db"),
        ("ExecStart={program}", 'Environment="PROKERJA_DB=/srv/q.db" "B=2"'),
        ("ExecStart=/usr/bin/env PROKERJA_DB=/srv/q.db sh -c true",),
        ("ExecStart={program}", "EnvironmentFile={file}"),
        ("ExecStart={program}", "EnvironmentFile={file}", "EnvironmentFile=-/not/there"),
    ],
)  # fmt: skip
def test_a_unit_of_this_queue_is_well_however_it_is_written(
    system: Path, tmp_path: Path, lines: tuple[str, ...]
) -> None:
    file = tmp_path / "environment"
    file.write_text("# where\nPROKERJA_DB='/srv/q.db'\n")
    write(system, *(line.format(program=PROGRAM, file=file) for line in lines))
    assert state(system) is State.OK
    [check] = told(system, "/srv/other.db")
    assert (check.state, "for /srv/q.db, not for /srv/other.db" in check.text) == (
        State.WARNING, True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("ExecStart=/not/there/prokerja realization:start",), "/not/there/prokerja, which it"),
        (("ExecStart=/usr/bin/env not-there-prokerja",), "not-there-prokerja, which it starts"),
        (("ExecStart=/etc/passwd",), "/etc/passwd, which it starts, is not there, or cannot"),
        (("Type=exec",), "it has no ExecStart"),
        (("ExecStart=/bin/sh 'open",), "it cannot be read (No closing quotation)"),
        (("ExecStart=/bin/sh", "EnvironmentFile=/not/there"), "it cannot be read ("),
    ],
)
def test_a_unit_that_cannot_start_is_told(system: Path, lines: tuple[str, ...], why: str) -> None:
    unit = write(system, *lines)
    [check] = told(system)
    assert (check.state, check.text.startswith(f"{unit}: {why}")) == (State.FAILED, True), check
    assert "daemon-reload" in check.fix


def test_what_cannot_be_read_at_all_is_told(system: Path) -> None:
    (system / "prokerja.service").write_bytes(b"[Service]\nExecStart=/bin/\xff\n")
    (system / "prokerja@.service").symlink_to("nowhere")
    (system / "prokerja-a.service").mkdir()
    os.mkfifo(system / "prokerja-b.service")
    assert [check.state for check in told(system)] == [State.FAILED] * 2


def test_what_is_set_beside_a_unit_counts(system: Path) -> None:
    unit = write(system, f"ExecStart={PROGRAM}", "Environment=PROKERJA_DB=/srv/other.db")
    beside = unit.with_name(f"{unit.name}.d")
    beside.mkdir()
    (beside / "override.conf").write_text("[Service]\nEnvironment=PROKERJA_DB=/srv/q.db\n")
    assert state(system) is State.OK


def test_one_of_several_units_is_enough(system: Path) -> None:
    write(system, f"ExecStart={PROGRAM} --db /srv/a.db", name="prokerja-a.service")
    write(system, f"ExecStart={PROGRAM} --db /srv/b.db", name="prokerja-b.service")
    assert state(system, "/srv/b.db") is State.OK
    assert state(system, "/srv/c.db") is State.WARNING


def test_who_names_no_file_works_on_the_usual_one(system: Path, users: Path) -> None:
    usual = str(Path.home() / DATA)
    unit = write(users, f"ExecStart={PROGRAM} realization:start")
    assert state(system, usual) is State.OK
    settings = users.parents[1] / "prokerja" / "prokerja.toml"
    settings.parent.mkdir()
    settings.write_text('db = "/srv/q.db"\n')
    assert state(system) is State.OK
    settings.write_text("db = 1\n")
    assert told(system) == [], "nothing is known of its file"
    unit.unlink()
    write(system, f"ExecStart={PROGRAM}", f"User={getpass.getuser()}")
    assert told(system)[0].text.count(DATA) == 1


def test_the_home_directory_is_put_in_its_place_and_what_else_differs_is_left(
    system: Path, users: Path
) -> None:
    (Path.home() / "bin").mkdir()
    (Path.home() / "bin" / "prokerja").symlink_to(PROGRAM)
    write(users, "ExecStart=%h/bin/prokerja --db %h/q.db")
    assert state(system, str(Path.home() / "q.db")) is State.OK
    write(users, "ExecStart=%h/bin/prokerja --db /srv/%i.db", name="prokerja@.service")
    assert read_unit(str(users / "prokerja@.service")).db == "/srv/%i.db"
    assert state(system, str(Path.home() / "q.db")) is State.OK


def test_our_own_units_are_read(system: Path, users: Path, shell: Home) -> None:
    (users / "prokerja.service").write_text(shell.cli("systemd:unit", "--user"))
    assert state(system, str(shell.db)) is State.OK
    home = shell.path / "home" / ".config" / "systemd" / "user"
    home.mkdir(parents=True, exist_ok=True)
    (home / "prokerja.service").write_text("[Service]\nExecStart=/not/there\n")
    code, out, err = shell("doctor")
    assert (code, err) == (1, "")
    assert f"failed\tunit\t{home}/prokerja.service: /not/there, which it starts" in out
