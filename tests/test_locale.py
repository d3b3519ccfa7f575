"""Names are bytes: whatever the locale of whoever declares them, the same file is opened."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home

NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale in which names are not read as UTF-8, on every system."""
NAMES = {"é": "é".encode(), "\udce9": b"\xe9"}
"""What a payload holds, and the name's bytes."""


def files(home: Home) -> str:
    home.write(
        "touch.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Touch(Job):
            path: str
            def handle(self):
                open(self.path, "x").close()
        """,
    )
    return os.fspath(home.path / "made-")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("narrow_worker", [False, True])
def test_a_name_given_in_another_locale_means_the_same_bytes_to_the_worker(
    home: Home, name: str, narrow_worker: bool
) -> None:
    prefix = files(home)
    path = os.fsencode(prefix) + NAMES[name]
    home.in_environment(NARROW)
    told = home("declare:job", "touch", b"path=" + path)
    assert (told.code, told.err) == (0, "")
    assert home.job(1)["payload"] == {"path": prefix + name}
    if not narrow_worker:
        home.in_environment(dict.fromkeys(NARROW, ""))
    home.work()
    assert home.statuses([1]) == ["completed"]
    assert NAMES[name] in b"".join(os.listdir(os.fsencode(home.path)))


def test_lines_and_paths_in_another_locale_are_bytes_too(home: Home, tmp_path: Path) -> None:
    prefix = files(home)
    home.in_environment(NARROW)
    lines = b"".join(os.fsencode(prefix) + name + b"\n" for name in NAMES.values())
    assert home("declare:job", "touch", "--each", "path", stdin=lines).code == 0
    assert {home.job(id)["payload"]["path"] for id in (1, 2)} == {prefix + name for name in NAMES}
    where = os.fsencode(tmp_path) + b"/\xe9.db"
    assert home("declare:job", "touch", "path=x", "--db", where).code == 0
    assert os.path.exists(where)


def test_a_path_object_of_a_program_in_another_locale_means_the_same_bytes(home: Home) -> None:
    prefix = files(home)
    home.in_environment(NARROW)
    program = """
import sys
from pathlib import Path
from prokerja import Queue

class Touch:
    name = "touch"
    def payload(self): return {"path": Path(sys.argv[2])}
    def handle(self): pass

Queue(sys.argv[1]).declare(Touch())
"""
    words: list[str | bytes] = [
        sys.executable,
        "-c",
        program,
        os.fspath(home.db),
        os.fsencode(prefix) + b"\xc3\xa9",
    ]
    assert home.execute(words).code == 0
    assert json.dumps(home.job(1)["payload"]) == json.dumps({"path": prefix + "é"})
