"""How job files import each other and what lies around them, also in pools."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.home import Home

PROGRAM = os.path.join(os.path.dirname(sys.executable), "prokerja")
HEAD = "from dataclasses import dataclass\nfrom prokerja import Job\n"
ALONG = """
import other
from other import Thing as plain
from .other import Thing as relative
from jobs.other import Thing as full
import jobs.other

@dataclass
class Along(Job):
    def handle(self):
        return [plain is relative is full, other is jobs.other, other.__spec__.name]
"""
POOL = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from other import Thing

def double(thing):
    return Thing(thing.n * 2)

@dataclass
class Pool(Job):
    how: str

    def handle(self):
        with ProcessPoolExecutor(2, mp_context=get_context(self.how)) as pool:
            return [thing.n for thing in pool.map(double, map(Thing, range(4)))]
"""


def put(home: Home, name: str, source: str) -> None:
    home.write("other.py", "class Thing:\n    def __init__(self, n): self.n = n\n")
    home.write(name, HEAD + source)


def test_three_ways_to_import_a_neighbour_give_one_module(home: Home) -> None:
    put(home, "along.py", ALONG)
    id = home.declare_job("along")
    home.work()
    assert home.job(id)["result"] == [True, True, "jobs.other"]


def test_what_is_installed_goes_before_a_neighbour_of_its_name(home: Home) -> None:
    home.write("colorsys.py", "mine = True\n")
    source = "import colorsys\n@dataclass\nclass Which(Job):\n    def handle(self): "
    put(home, "which.py", f"{source}return hasattr(colorsys, 'mine')\n")
    id = home.declare_job("which")
    home.work()
    assert home.job(id)["result"] is False


@pytest.mark.parametrize("program", [[PROGRAM], [sys.executable, "-m", "prokerja"]])
def test_a_package_beside_the_jobs_directory_can_be_imported(
    home: Home, program: list[str]
) -> None:
    package = home.path / "myproject"
    package.mkdir()
    (package / "__init__.py").write_text("answer = 42\n")
    put(home, "ask.py", "import myproject\n@dataclass\nclass Ask(Job):\n    def handle(self):"
        " return myproject.answer\n")  # fmt: skip
    id = home.declare_job("ask")
    words = ["realization:start", "--until-empty", "--db", home.db, "--jobs", home.jobs]
    done = subprocess.run([*program, *map(str, words)], check=False, cwd="/", capture_output=True)
    assert done.returncode == 0
    assert home.job(id)["result"] == 42


@pytest.mark.parametrize("how", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("name", ["jobs", "tasks"])
def test_functions_and_classes_of_job_files_work_in_pools(home: Home, how: str, name: str) -> None:
    put(home, "pool.py", POOL)
    directory = home.path / name
    if name != "jobs":
        home.jobs.rename(directory)
        home.jobs = directory
        home.in_environment({"PROKERJA_JOBS": str(directory)})
    id = home.declare_job("pool", how=how)
    home.work()
    job = home.job(id)
    assert (job["result"], job["error"]) == ([0, 2, 4, 6], None)
