"""Fixtures that more than one file uses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from prokerja.catalog.package import PACKAGE
from tests.harness.home import opened
from tests.harness.jobs import RUN, SOME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from tests.harness.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """With one job, which does what its payload says."""
    with opened(tmp_path, "run.py", RUN.format(home=str(tmp_path))) as home:
        yield home


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Home]:
    """With jobs that a user might have, in a directory whose name has a space."""
    with opened(tmp_path, "some.py", SOME, "my jobs") as home:
        yield home


@pytest.fixture(autouse=True)
def digits() -> Iterator[None]:
    """Numbers are as long to one test as to the next: the fuzz lifts the limit."""
    before = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(before)


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """`jobs` means the same to one test as to the next, whatever a test has loaded in between."""
    path, finders, before = sys.path[:], sys.meta_path[:], _job_modules()
    yield
    sys.path[:], sys.meta_path[:] = path, finders
    for name in _job_modules():
        del sys.modules[name]
    sys.modules.update(before)


def _job_modules() -> dict[str, ModuleType]:
    return {
        name: module for name, module in sys.modules.items() if f"{name}.".startswith(f"{PACKAGE}.")
    }
