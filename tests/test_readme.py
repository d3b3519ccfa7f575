"""What the README shows is what happens."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from prokerja import cli, errors
from prokerja import settings as settings_module
from prokerja.commandline import parameters
from prokerja.times import duration
from tests.shell import PROGRAM, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = sorted(cli.COMMANDS)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def blocks(kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """A section's text."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(title: str) -> dict[str, list[str]]:
    """The cells of a section's tables, by those of the first column."""
    rows = [line.strip("|").split(" | ") for line in section(title).splitlines() if line[:1] == "|"]
    return {first.strip(" `"): [cell.strip() for cell in rest] for first, *rest in rows}


# The transcript


def test_it_opens_with_one_sentence_then_four_commands_then_two() -> None:
    _, sentence, *rest = README.split("\n\n")
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert rest[0].startswith("```console\n$ ")
    assert rest[0].count("\n$ ") == 4
    assert [line.split("  ")[0] for line in blocks("sh")[0].splitlines()] == [
        "make run",
        "make test",
    ]


def test_the_transcript_is_what_a_fresh_database_prints(tmp_path: Path) -> None:
    [transcript] = blocks("console")
    environment = {key: v for key, v in os.environ.items() if not key.startswith("PROKERJA_")}
    environment |= {
        "PROKERJA_DB": str(tmp_path / "queue.sqlite3"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PATH": os.pathsep.join([os.path.dirname(PROGRAM), os.environ.get("PATH", "")]),
    }
    printed = ""
    for command in re.findall(r"^\$ (.*)$", transcript, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=environment, check=True, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        printed += f"$ {command}\n{done.stdout.decode()}"
    assert printed == transcript


def test_the_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("run", "test", "check", "help"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_contract_has_ten_lines() -> None:
    numbers = re.findall(r"^(\d+)\. .+\.$", section("The contract"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]


# Jobs, Python, SQL


@pytest.fixture
def project(shell: Shell, tmp_path: Path) -> Shell:
    """A directory with the README's job in it."""
    shell.jobs.rename(tmp_path / "jobs")
    shell.jobs = tmp_path / "jobs"
    source = blocks("python")[0]
    name = re.match(r"# jobs/(\w+\.py)\n", source)
    assert name is not None
    (shell.jobs / name[1]).write_text(source)
    shell.environment["PROKERJA_JOBS"] = ""
    return shell


def test_the_job_does_what_it_says(project: Shell, tmp_path: Path) -> None:
    (tmp_path / "three").write_text("a\nb\nc\n")
    declare = blocks("sh")[2].splitlines()
    told = project.sh(declare[0].replace("/etc/hosts", "three"))
    assert told == (0, "1\n", "")
    told = project.sh(declare[1].replace("/var/log", ".").replace("*.log", "three"))
    assert told == (0, "2\n", "")
    assert project.sh(declare[2]) == (0, "3\n", "")
    project.work()
    job = project.ask("report:job", 1)
    assert (job["status"], job["result"], job["queue"]) == ("completed", {"lines": 3}, "text")
    assert (job["retries"], job["retry_after"], job["timeout"]) == (3, 60, 120)
    assert project.ask("report:job", 3)["priority"] == 5
    assert project.report() == [1, 0, 2, 0]


def test_the_python_side_works(project: Shell, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(blocks("python")[1])
    told = project.run([sys.executable, "program.py"])
    assert told.code == 0, told.err
    project.environment["PROKERJA_DB"] = str(tmp_path / "work.sqlite3")
    answer = project.ask("report")
    assert (answer["completed"], answer["pending"], answer["failed"]) == (4, 0, 0)
    assert "`queue`, `priority`, `delay` (seconds), `at`" in section("From Python")


def test_the_plain_sql_door_is_open(shell: Shell) -> None:
    shutil.copy(ROOT / "jobs" / "noop.py", shell.jobs)
    shell.declare("noop")
    [statement] = re.findall(r'sqlite3 prokerja\.sqlite3 "(.*)"', README)
    connection = sqlite3.connect(shell.db)
    with connection:
        connection.execute(statement)
        connection.execute(
            "INSERT INTO declare(job, queue, priority, due_at, retries, retry_after, timeout)"
            " VALUES ('noop', 'q', 5, '2130-01-31 18:00', 2, 30, 60)"
        )
    connection.close()
    shell.work()
    assert shell.report() == [1, 0, 2, 0]
    job = shell.ask("report:job", 3)
    assert job["due_at"].startswith("2130-01-31T18:00:00")
    assert [job[key] for key in ("queue", "priority", "retries", "retry_after", "timeout")] == [
        "q", 5, 2, 30, 60
    ]  # fmt: skip


# Tables


@pytest.mark.parametrize("name", NAMES)
def test_the_table_lists_every_option_of_every_command(name: str) -> None:
    [(usage, cells)] = [
        (usage, cells) for usage, cells in table("Commands").items() if usage.split()[0] == name
    ]
    flags = {flag for parameter in parameters(cli.load(name)) for flag in parameter.flags}
    shared = {"--db", "--jobs", "--json"}
    assert set(re.findall(r"(?<![\w-])--?[\w-]+", cells[1])) == flags - shared
    assert all(flag in section("Commands") for flag in shared)
    assert usage == " ".join(
        [name, *(p.marker.metavar for p in parameters(cli.load(name)) if not p.flags)]
    )


def test_the_tables_list_every_command_exit_code_and_setting() -> None:
    commands = [usage.split()[0] for usage in table("Commands")]
    assert [name for name in commands if name in cli.COMMANDS] == list(cli.COMMANDS)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {str(getattr(kind, "exit_code", 0)) for kind in kinds} | {"0"}
    assert codes <= set(table("Commands"))
    known = {f"PROKERJA_{key.upper()}": f"`{key}`" for key in settings_module.KEYS}
    rows = table("Settings")
    assert {name: cells[0] for name, cells in rows.items() if name in known} == known
    for key in ("keep_completed", "keep_failed"):
        [default] = re.findall(r'`"(\w+)"`', rows[f"PROKERJA_{key.upper()}"][1])
        assert duration(default) == getattr(settings_module.settings(), key)


def test_the_places_are_those_that_the_system_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    rows = table("Where files live")
    for column, system in enumerate((Unix, MacOS)):
        dirs = system("prokerja", appauthor=False)
        data, config = (
            path.replace("/home/somebody", "~")
            for path in (dirs.user_data_dir, dirs.user_config_dir)
        )
        assert rows["the queue"][column].strip("` ") == f"{data}/prokerja.sqlite3"
        assert rows["settings"][column].strip("` ") == f"{config}/prokerja.toml"
        assert rows["jobs"][column].strip("` ") == f"{config}/jobs/"


# The service


@pytest.fixture
def unit() -> configparser.RawConfigParser:
    [text] = blocks("ini")
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_unit_is_one_that_systemd_takes(
    unit: configparser.RawConfigParser, tmp_path: Path
) -> None:
    command = unit["Service"]["ExecStart"]
    assert re.match(r"/\S+/prokerja realization:start ", command)
    file = tmp_path / "prokerja.service"
    file.write_text(blocks("ini")[0].replace(command.split()[0], PROGRAM))
    if shutil.which("systemd-analyze") is None:
        assert unit.sections() == ["Unit", "Service", "Install"]
        return
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if file.name in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_unit_gives_jobs_the_time_that_its_command_promises(
    unit: configparser.RawConfigParser, shell: Shell
) -> None:
    service = unit["Service"]
    words = service["ExecStart"].split()
    grace = duration(words[words.index("--grace") + 1])
    assert float(service["TimeoutStopSec"]) > grace + 5
    assert service["KillMode"] == "mixed"
    shutil.copy(ROOT / "jobs" / "noop.py", shell.jobs)
    shell.declare("noop")
    shell.run([PROGRAM, *words[1:], "--until-empty"])
    assert shell.report() == [0, 0, 1, 0]


def test_the_unit_starts_a_worker_again_that_made_room_for_a_newer_one(
    unit: configparser.RawConfigParser,
) -> None:
    """It leaves with the code of TryAgain, which counts as a failure."""
    assert errors.TryAgain.exit_code != 0
    assert unit["Service"]["Restart"] == "on-failure"


def test_the_unit_and_the_settings_speak_of_the_same_places(
    unit: configparser.RawConfigParser,
) -> None:
    service = unit["Service"]
    environment = dict(pair.split("=") for pair in service["Environment"].split())
    assert set(environment) == {"PROKERJA_DB", "PROKERJA_JOBS"}
    assert environment["PROKERJA_DB"].startswith(f"/var/lib/{service['StateDirectory']}/")
    [setting_up] = [block for block in blocks("sh") if "systemctl enable" in block]
    assert environment["PROKERJA_DB"] in setting_up
    assert environment["PROKERJA_JOBS"] in setting_up


def test_the_figures_have_their_place() -> None:
    assert section("Measured").strip()


def test_it_speaks_of_nothing_but_the_project() -> None:
    for word in ("/work", "/root", "http://", "https://", "badge", "pypi"):
        assert word not in README.lower()
    assert json.dumps(README).isascii()
    assert README.isascii()
