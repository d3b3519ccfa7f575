"""Machines with less than usual: no home directory, no /proc, and warnings that are errors."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tests.harness.terminal import Terminal

if TYPE_CHECKING:
    from tests.harness.home import Home

COMMANDS = {
    "declare:job noop": 0,
    "declare:job fail": 0,
    "declare:job noop --each n": 0,
    "declare:job dance": 2,
    "declare:shell true": 0,
    "declare:batch": 0,
    "declare:batch some.jsonl": 2,
    "report": 0,
    "report:jobs --status failed": 0,
    "report:job 1": 0,
    "report:job 99": 1,
    "realization:start --until-empty --realizers 2": 0,
    "wait 1": 0,
    "wait 99": 2,
    "output 1": 0,
    "result 1": 0,
    "completion bash": 0,
    "retry 2": 0,
    "wait 2 --timeout 0": 124,
    "retry --failed": 0,
    "cancel 2": 0,
    "declare:job noop --hold": 0,
    "hold 1": 2,
    "release 99": 1,
    "change 99 --priority 1": 1,
    "report --why 1": 0,
    "suspend 2": 1,
    "resume 2": 1,
    "resolve 2": 1,
    "purge": 0,
    "purge --status pending": 0,
    "jobs": 0,
    "dance": 2,
    "--help": 0,
    "--version": 0,
}
"""Every command, some with their errors, and the exit code of each in this order."""
HOMELESS = """
import pwd

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
"""
WITHOUT_PROC = "import psutil; psutil.PROCFS_PATH = '/nowhere'"


def begin_with(shell: Home, code: str) -> None:
    """Have every Python that is started from here on run this first."""
    place = shell.path / "site"
    place.mkdir()
    (place / "sitecustomize.py").write_text(code)
    shell.environment["PYTHONPATH"] = str(place)


def assert_that_all_works(shell: Home) -> None:
    (shell.path / "some.jsonl").write_text('{"job": "noop"}\nnonsense\n')
    for command, code in COMMANDS.items():
        told = shell(*command.split(), stdin="1\n" if "each" in command else "")
        assert told.code == code, told.err
        for word in ("Traceback", "Warning", "unforeseen", "ignored"):
            assert word not in told.err, command
        if code == 0 and "realization" not in command:
            assert told.err == "", command


def test_without_a_home_all_works_that_is_told_where(shell: Home) -> None:
    begin_with(shell, HOMELESS)
    del shell.environment["HOME"]
    assert_that_all_works(shell)


def test_without_a_home_what_has_to_be_told_is_said_in_one_line(shell: Home) -> None:
    begin_with(shell, HOMELESS)
    for name in ("HOME", "PROKERJA_DB", "PROKERJA_JOBS"):
        del shell.environment[name]
    for command in ("report", "declare:job noop", "realization:start"):
        told = shell(*command.split())
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
        assert "no home directory" in told.err
        assert "PROKERJA_DB" in told.err


def test_without_proc_all_works(shell: Home) -> None:
    begin_with(shell, WITHOUT_PROC)
    assert_that_all_works(shell)


def test_warnings_may_be_errors(shell: Home) -> None:
    shell.environment["PYTHONWARNINGS"] = "error"
    assert_that_all_works(shell)


def test_warnings_may_be_errors_at_a_terminal(shell: Home) -> None:
    shell.environment["PYTHONWARNINGS"] = "error"
    shell.declare_job("noop")
    for words in (["realization:start", "--until-empty"], ["report"], ["report:jobs"], ["jobs"]):
        code, text = Terminal(shell, *words).end()
        assert code == 0, text
        assert "Warning" not in text


PROGRAM_OF_ITS_OWN = """
import os, sys, prokerja
from prokerja.job import Job

class Noop(Job):
    def payload(self):
        return {}

print(prokerja.declare(Noop()), list(prokerja.declare_many([Noop(), Noop()])), flush=True)
"""


def test_warnings_may_be_errors_in_a_program_that_declares(shell: Home) -> None:
    shell.environment["PYTHONWARNINGS"] = "error"
    told = shell.execute([sys.executable, "-c", PROGRAM_OF_ITS_OWN])
    assert told == (0, "1 [2, 3]\n", "")
    assert not os.path.exists(f"{shell.db}-wal")


def test_a_forked_process_that_leaves_does_not_open_the_file_for_that(shell: Home) -> None:
    fork = """
os.rename(sys.argv[1], sys.argv[1] + "-moved")
if os.fork() == 0:
    sys.exit()
os.wait()
"""
    told = shell.execute([sys.executable, "-c", PROGRAM_OF_ITS_OWN + fork, str(shell.db)])
    assert told == (0, "1 [2, 3]\n", "")
    assert not shell.db.exists()
