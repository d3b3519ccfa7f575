"""Listing runs no code, and root runs none that others could have written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.home import Home

LOUD = "import os\nopen(os.environ['HOME'] + '-ran', 'w')\n"
ROOT = os.geteuid() == 0


def shared(file: Path) -> None:
    os.chown(file, -1, 12345)
    file.chmod(0o664)


def link(jobs: Path) -> None:
    other = jobs.parent / "theirs.py"
    other.write_text("")
    other.chmod(0o666)
    (jobs / "linked.py").symlink_to(other)


def listeners(jobs: Path) -> None:
    (jobs / "listeners.py").write_text("")
    (jobs / "listeners.py").chmod(0o666)


WAYS: dict[str, Callable[[Path], object]] = {
    "file of another": lambda jobs: os.chown(jobs / "run.py", 12345, -1),
    "file for others": lambda jobs: (jobs / "run.py").chmod(0o646),
    "file for a group": lambda jobs: shared(jobs / "run.py"),
    "directory of another": lambda jobs: os.chown(jobs, 12345, -1),
    "directory for others": lambda jobs: jobs.chmod(0o777),
    "one above": lambda jobs: jobs.parent.chmod(0o777),
    "linked file": link,
    "listeners": listeners,
}
"""How others may come to write what root would run."""


def test_a_listing_runs_no_code_unless_asked(home: Home) -> None:
    home.write("loud.py", LOUD)
    ran = home.path / "home-ran"
    listed = home.cli("jobs", "--jobs", home.jobs)
    assert "run(code: str)" in listed
    assert not ran.exists()
    assert home.cli("jobs", "--load", "--jobs", home.jobs) == listed
    assert ran.exists()


if ROOT:

    @pytest.mark.parametrize("way", WAYS)
    def test_root_runs_no_jobs_that_another_user_could_have_written(home: Home, way: str) -> None:
        home.write("loud.py", LOUD)
        WAYS[way](home.jobs)
        for words in (["realization:start", "--until-empty"], ["jobs", "--load"]):
            told = home(*words)
            assert (told.code, told.err.count("\n")) == (2, 1)
            assert "belongs to uid" in told.err
            assert "PROKERJA_ALLOW_FOREIGN_JOBS=1" in told.err
            assert not (home.path / "home-ran").exists()
        home.in_environment({"PROKERJA_ALLOW_FOREIGN_JOBS": "1"})
        home.work()
        assert (home.path / "home-ran").exists()

    def test_a_link_to_the_jobs_directory_is_followed(home: Home) -> None:
        way = home.path / "way"
        way.symlink_to(home.jobs)
        home.jobs.chmod(0o777)
        assert home("realization:start", "--until-empty", "--jobs", way).code == 2
