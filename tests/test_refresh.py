"""What the file knows of the jobs keeps in step with their files, whatever happens to those."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

COUNT = """
from dataclasses import dataclass
from prokerja import Job

@dataclass
class Count(Job):
    {field}: int = 0

    def handle(self):
        return None
"""


def takes(shell: Home, field: str) -> bool:
    """Whether `count` takes that field."""
    return shell("declare:job", "count", f"{field}=1").code == 0


@pytest.mark.parametrize("worked", [False, True])
def test_a_copy_of_a_job_file_may_come_and_the_file_may_go(shell: Home, worked: bool) -> None:
    file = shell.write("count.py", COUNT.format(field="n"))
    copy = shell.jobs / "count_old.py"
    shutil.copy(file, copy)
    shell.declare("count")
    if worked:
        assert "two jobs are called 'count'" in shell.work().said()
    file.unlink()
    shell.declare("count")
    shell.work()
    assert shell.report() == [0, 0, 2, 0]


def test_of_two_files_with_one_job_declaring_checks_against_the_one_that_runs(
    shell: Home,
) -> None:
    shell.write("count.py", COUNT.format(field="n"))
    assert takes(shell, "n")
    shell.write("a.py", COUNT.format(field="first"))
    assert takes(shell, "first")
    assert not takes(shell, "n")
    shell.work()
    assert takes(shell, "first")
    assert shell.report() == [2, 0, 1, 0], "what does not fit the one that runs goes back"


@pytest.mark.parametrize("field", ["x", "y"])
def test_another_content_of_the_same_time_and_size_is_read(shell: Home, field: str) -> None:
    file = shell.write("count.py", COUNT.format(field="n"))
    assert takes(shell, "n")
    times = os.stat(file)
    new = shell.write("count.py.new" if field == "x" else "count.py", COUNT.format(field=field))
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(new, file)
    assert takes(shell, field)


def test_a_file_that_is_replaced_while_a_worker_imports_it_is_read_again(shell: Home) -> None:
    gate = shell.path / "gate"
    slow = f"""
    import os, time
    open({str(gate) + "-reached"!r}, "w").close()
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.005)
    """
    file = shell.write("count.py", COUNT.format(field="n") + textwrap.dedent(slow))
    wait_until(lambda: takes(shell, "n"))
    shell.start("realization:start")
    wait_until((shell.path / "gate-reached").exists)
    file.write_text(COUNT.format(field="later"))
    gate.touch()
    wait_until(lambda: shell.look("SELECT 1 FROM worker WHERE names <> '[]'"))
    assert takes(shell, "later")
    assert not takes(shell, "n")


def test_files_that_have_not_changed_are_not_read_again(shell: Home) -> None:
    program = """
    import sys
    sys.addaudithook(lambda event, given: event == "open" and print(given[0], file=sys.stderr))
    from prokerja.cli import run
    run(["declare:job", "count"])
    """
    file = shell.write("count.py", COUNT.format(field="n"))

    def reads() -> bool:
        told = shell.execute([sys.executable, "-c", textwrap.dedent(program)])
        assert told.code == 0
        return str(file) in told.err.splitlines()

    assert reads()
    wait_until(lambda: not reads())  # in a moment it may have changed again, unnoticed
    file.touch()
    assert reads()
