"""How tests have a file examined."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prokerja import repository
from prokerja.model.check import State

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.model.check import Check


def examined(path: Path) -> dict[str, Check]:
    """What was found, by name; each line can be printed, and says what to do if it is not well."""
    with repository.examined(str(path)) as found:
        checks = found.checks
    for check in checks:
        assert check.text.isprintable()
        assert check.fix.isprintable()
        assert bool(check.fix) or check.state is not State.FAILED, check
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    return {check.name: check for check in checks}


def fault(path: Path) -> Check:
    """The one check that fails."""
    [check] = [one for one in examined(path).values() if one.state is State.FAILED]
    return check


def folder(path: Path) -> dict[str, bytes]:
    """All that stands beside a file, and its content."""
    return {one.name: one.read_bytes() for one in path.parent.iterdir() if "-shm" not in one.name}


def log_of_the_killed(path: Path) -> None:
    """Leave a log that has not been moved into the file, and nobody who uses it."""
    script = (
        "import os, sqlite3, sys\n"
        "other = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "other.execute('CREATE TABLE more (x)')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert os.path.getsize(f"{path}-wal")
