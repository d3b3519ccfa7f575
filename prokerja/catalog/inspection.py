"""A look into a jobs directory through a process of its own, which its files may well disturb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from tempfile import TemporaryFile
from typing import IO

from prokerja.catalog.files import scan
from prokerja.errors import CatalogError
from prokerja.spec import Broken, JobSpec
from prokerja.text import escaped

MAX_SECONDS = 60.0
"""Seconds that importing all files may take."""
CHILD = """
import json, sys
sys.path.extend(entry for entry in json.loads(sys.argv.pop(1)) if entry not in sys.path)
from prokerja.catalog.__main__ import main
main(*sys.argv[1:])
"""
"""Imports from where this process does, but never the standard library from elsewhere."""


def inspect(directory: str, limit: float = MAX_SECONDS) -> tuple[list[JobSpec], list[Broken]]:
    """What the files of a jobs directory hold, and which are broken, as `load` finds it.

    Raises CatalogError if the directory cannot be read, and if importing a file ends the process
    or takes longer than `limit` seconds.
    """
    scan(directory)
    with TemporaryFile() as found, TemporaryFile() as names:
        end = _run(os.path.abspath(directory), found, names, limit)
        found.seek(0)
        try:
            data = json.load(found)
            specs = [JobSpec.from_json(spec) for spec in data["specs"]]
            return specs, [Broken(**broken) for broken in data["broken"]]
        except (ValueError, TypeError, KeyError):
            raise CatalogError(
                f"{_last(names) or escaped(directory)}: importing it {end}; "
                "guard what it does at import, or move it out of the jobs directory"
            ) from None


def _run(directory: str, found: IO[bytes], names: IO[bytes], limit: float) -> str:
    """Have `found` filled in; tell how it ended."""
    path = json.dumps([str(entry) for entry in sys.path if entry])
    try:
        child = subprocess.run(
            [sys.executable, "-X", "utf8", "-P", "-c", CHILD, path, directory, str(found.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=names,
            stderr=subprocess.DEVNULL,
            close_fds=True,
            pass_fds=[found.fileno()],
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {limit:g} s"
    if child.returncode >= 0:
        return f"ended the process with exit code {child.returncode}"
    return f"ended the process by {_signal(-child.returncode)}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def _last(names: IO[bytes]) -> str:
    """The file that was being imported."""
    names.seek(0)
    lines = names.read().splitlines()
    return escaped(json.loads(lines[-1])) if lines else ""
