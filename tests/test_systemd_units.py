"""The units of `systemd:unit`, as systemd's own tools judge them, and where they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from prokerja.exit_codes import NO_RESTART, ORDERLY, WORKER_CODES
from prokerja.unit import escaped_instance
from tests.documents import PAGES, section, table
from tests.harness.home import PROGRAM, Home

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

KINDS = [
    ("--user",), (), ("--as", "root"), ("--setuid",), ("--user", "--setuid"), ("--template",),
    ("--user", "--template"), ("--queue", "it's 5 % of $HOME\\x", "--queue", "b=2"),
]  # fmt: skip
BARE = "[Unit]\nDescription=bare\n[Service]\nExecStart=/bin/true\n[Install]\n"


def lines_of(shell: Home, *words: str) -> list[str]:
    return shell.cli("systemd:unit", *words).splitlines()


def value(lines: list[str], key: str) -> str:
    [line] = [line for line in lines if line.startswith(f"{key}=")]
    return line.partition("=")[2]


def judged(*words: str) -> str:
    """What systemd-analyze prints, which is to be there wherever systemd could be."""
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def exposure(file: Path) -> float:
    [rate] = re.findall(
        r"Overall exposure level for .*: ([\d.]+)",
        judged("security", "--no-pager", "--offline=true", str(file)),
    )
    return float(rate)


def in_file(path: Path, text: str, name: str = "prokerja.service") -> Path:
    file = path / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_systemd_takes_a_unit_without_a_warning(
    shell: Home, kind: tuple[str, ...], tmp_path: Path
) -> None:
    name = "prokerja@.service" if "--template" in kind else "prokerja.service"
    assert shell.ask("systemd:unit", *kind)["unit"] == name
    file = in_file(tmp_path, shell.cli("systemd:unit", *kind), name)
    assert judged("verify", "--man=no", str(file)) == ""


def test_a_warning_would_be_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Frob"):
        judged("verify", "--man=no", str(in_file(tmp_path, f"{BARE}[Service]\nFrob=yes\n")))


@pytest.mark.parametrize(("kind", "least"), [("--user", 0.2), ("--as=prokerja", 3.0)])
def test_a_unit_is_safer_than_a_bare_one(
    shell: Home, kind: str, least: float, tmp_path: Path
) -> None:
    bare = exposure(in_file(tmp_path, BARE, "bare.service"))
    ours = exposure(in_file(tmp_path, shell.cli("systemd:unit", kind)))
    assert ours <= bare - least


@pytest.mark.parametrize(
    "name", ["mails", "on-call", "two words", ".hid/den", "\u00fc%$\\", "a:_.9"]
)
def test_an_instance_is_named_as_systemd_names_it(name: str) -> None:
    escaped = subprocess.run(
        ["systemd-escape", "--", name], capture_output=True, text=True, check=True
    )
    assert escaped_instance(name) == escaped.stdout.rstrip("\n")


# What a unit says


def test_a_unit_runs_this_very_program_with_what_it_is_given(shell: Home) -> None:
    words = ("--queue", "a b", "--realizers", "3", "--grace", "2m", "--", "--memory-free", "1G")
    command = shlex.split(value(lines_of(shell, *words), "ExecStart"))
    assert command == [
        PROGRAM, "realization:start", "--realizers=3", "--grace=2m", "--memory-free", "1G",
        "--queue=a b",
    ]  # fmt: skip
    shell.program = (sys.executable, "-m", "prokerja")
    command = shlex.split(value(lines_of(shell), "ExecStart"))
    assert command[:4] == [sys.executable, "-P", "-m", "prokerja"]


def test_the_worker_of_a_unit_starts(shell: Home) -> None:
    id = shell.declare_job("noop", options={"queue": "50 % off"})
    text = shell.cli("systemd:unit", "--user", "--queue", "50 % off", "--", "--until-empty")
    line = value(text.splitlines(), "ExecStart")
    assert '"--queue=50 %% off"' in line, "to systemd, a single one begins something else"
    command = shlex.split(line.replace("%%", "%"))
    assert shell.execute(command).code == 0
    assert shell.job(id)["status"] == "completed"


def test_a_unit_names_the_places_that_were_named(shell: Home, tmp_path: Path) -> None:
    named = [f'Environment="PROKERJA_JOBS={shell.jobs}"', f"Environment=PROKERJA_DB={shell.db}"]
    assert set(named) <= set(lines_of(shell, "--user"))
    assert set(named) <= set(lines_of(shell))
    assert f"RequiresMountsFor={shell.path}" in lines_of(shell)
    assert f"Environment=PROKERJA_DB={tmp_path}/x.db" in lines_of(shell, "--db", f"{tmp_path}/x.db")
    for name in ("PROKERJA_DB", "PROKERJA_JOBS"):
        del shell.environment[name]
    mine, system = lines_of(shell, "--user"), lines_of(shell)
    assert not [line for line in mine if "Environment" in line]
    assert value(system, "StateDirectory") == "prokerja"
    assert value(system, "ConfigurationDirectory") == "prokerja/jobs"
    assert [line for line in system if "Environment" in line] == [
        "Environment=PROKERJA_DB=/var/lib/prokerja/prokerja.sqlite3",
        "Environment=PROKERJA_JOBS=/etc/prokerja/jobs",
    ]


def test_jobs_that_are_found_here_are_named_since_a_worker_would_not_find_them(
    shell: Home, tmp_path: Path
) -> None:
    del shell.environment["PROKERJA_JOBS"]
    (shell.path / "jobs").mkdir()
    assert f"Environment=PROKERJA_JOBS={tmp_path}/jobs" in lines_of(shell, "--user")


def test_a_unit_gives_jobs_the_time_that_its_command_promises(shell: Home) -> None:
    lines = lines_of(shell, "--grace", "2m", "--", "--jitter", "1h")
    assert float(value(lines, "TimeoutStopSec")) > 120 + 5 + 2
    assert float(value(lines, "TimeoutStartSec")) > 3600
    assert value(lines, "KillMode") == "mixed"
    assert (value(lines, "Type"), value(lines, "NotifyAccess")) == ("notify", "main")
    assert float(value(lines, "WatchdogSec")) >= 20, "an idle worker wakes every 10 s at most"


def test_jobs_may_call_setuid_programs_if_they_are_to(shell: Home) -> None:
    implied = ("NoNewPrivileges=", "Lock", "Restrict", "ProtectKernel", "ProtectHost", "Capab")
    assert not [line for line in lines_of(shell, "--setuid") if line.startswith(implied)]
    assert "NoNewPrivileges=yes" in lines_of(shell)
    assert "CapabilityBoundingSet=" not in lines_of(shell, "--as", "root")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--user", "--as", "me"], "--as is for the whole machine"),
        (["--as", "two words"], "--as: 'two words' is not the name of a user"),
        (["--realizers", "0"], "--realizers: '0' does not fit"),
        (["--grace", "soon"], "--grace: 'soon' is not a duration"),
        (["--queue", ""], "--queue: '' does not fit"),
        (["--", "--frob"], "'--frob': not options of a worker"),
        (["--", "--grace", "1h"], "--grace goes before the double dash"),
        (["--", "--queue=a"], "--queue goes before the double dash"),
        (["--", "--jitter", "soon"], "--jitter: 'soon' is not a duration"),
    ],
)
def test_what_no_worker_would_take_is_refused(shell: Home, words: list[str], said: str) -> None:
    told = shell("systemd:unit", *words)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert said in told.err


# Exit codes


def test_help_and_guide_and_unit_agree_on_the_exit_codes(shell: Home) -> None:
    told = shell.cli("realization:start", "--help").partition("Exit codes:\n")[2]
    rows = [line.split(maxsplit=1) for line in told.splitlines()]
    assert {int(code): meaning for code, meaning in rows} == WORKER_CODES
    cells = table(section(PAGES["service"], "Exit codes"))
    assert {int(code): row[0] for code, row in cells.items() if code.isdigit()} == WORKER_CODES
    lines = lines_of(shell)
    prevented, forced, orderly = (
        {int(code) for code in value(lines, key).split()}
        for key in ("RestartPreventExitStatus", "RestartForceExitStatus", "SuccessExitStatus")
    )
    assert value(lines, "Restart") == "on-failure"
    assert prevented == set(NO_RESTART)
    assert forced == orderly == set(ORDERLY)
    assert prevented | forced < WORKER_CODES.keys() - {0}
    for code, what in ((code, row[1]) for code, row in cells.items() if code.isdigit()):
        is_started = int(code) not in prevented | {0}
        assert ("started again" in what) is is_started, code
        assert ("failure" in what) is (is_started and int(code) not in orderly), code


@pytest.mark.parametrize(
    "words", [["--grace", "soon"], ["--realizers", "0"], ["--jobs", "/nowhere"], ["--queue", "a=x"]]
)
def test_a_worker_that_is_asked_for_what_cannot_be_is_not_started_again(
    shell: Home, words: list[str]
) -> None:
    assert shell("realization:start", *words).code in NO_RESTART


# Where it is written


def test_a_unit_is_written_where_systemd_looks_for_it(shell: Home) -> None:
    told = shell("systemd:install", "--user")
    file = shell.path / "home/.config/systemd/user/prokerja.service"
    assert told.lines == [
        "systemctl --user daemon-reload", "systemctl --user enable --now prokerja.service",
    ]  # fmt: skip
    assert told.err == f"prokerja: wrote {file}; run next:\n"
    assert file.read_text() == shell.cli("systemd:unit", "--user")
    assert os.listdir(file.parent) == [file.name]
    assert file.stat().st_mode & 0o777 == 0o644
    config = {"XDG_CONFIG_HOME": str(shell.path / "config")}
    path = json.loads(shell("systemd:install", "--user", "--json", environment=config).out)["path"]
    assert path == f"{shell.path}/config/systemd/user/prokerja.service"


def test_a_unit_that_was_changed_is_not_overwritten(shell: Home) -> None:
    shell.cli("systemd:install", "--user")
    file = shell.path / "home/.config/systemd/user/prokerja.service"
    told = shell("systemd:install", "--user")
    assert (told.code, told.err) == (0, f"prokerja: nothing has changed in {file}; run next:\n")
    assert shell.ask("systemd:install", "--user")["written"] is False
    file.write_text(f"{file.read_text()}# mine\n")
    told = shell("systemd:install", "--user")
    assert (told.code, told.out) == (1, "")
    assert (
        told.err == f"prokerja: {file} is there and differs; keep it, or replace it with --force\n"
    )
    assert file.read_text().endswith("# mine\n")
    assert shell.ask("systemd:install", "--user", "--force")["written"] is True
    assert file.read_text() == shell.cli("systemd:unit", "--user")


def test_a_masked_unit_is_one_that_was_changed(shell: Home) -> None:
    file = shell.path / "home/.config/systemd/user/prokerja.service"
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/null")
    assert "differs" in shell("systemd:install", "--user").err
    assert os.readlink(file) == "/dev/null"


def test_packages_have_units_written_below_a_directory(shell: Home, tmp_path: Path) -> None:
    root = tmp_path / "root"
    answer = shell.ask("systemd:install", "--root", root, "--template", "--queue", "on-call")
    assert answer == {
        "path": f"{root}/etc/systemd/system/prokerja@.service",
        "written": True,
        "next": [
            "systemctl daemon-reload",
            r"systemctl enable --now 'prokerja@on\x2dcall.service'",
        ],
    }
    told = shell("systemd:install", "--root", root, "--user")
    assert (told.code, told.lines[0]) == (0, "systemctl --user daemon-reload")
    assert (root / "etc/systemd/user/prokerja.service").exists()


def test_a_place_that_cannot_be_written_is_named(shell: Home) -> None:
    (shell.path / "root").write_text("")
    told = shell("systemd:install", "--root", shell.path / "root")
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    assert told.err.startswith(f"prokerja: cannot write {shell.path}/root/etc/systemd/system/prok")
