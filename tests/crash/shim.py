"""C that is loaded before libc into the processes of a proof, compiled once at need."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache

HERE = os.path.dirname(os.path.abspath(__file__))


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


@cache
def compiled(name: str) -> str:
    """The shared library made from `name.c`; lives as long as this process."""
    command = compiler()
    if command is None:
        raise FileNotFoundError("no C compiler; install gcc")
    into = os.path.join(_folder().name, f"{name}.so")
    source = os.path.join(HERE, f"{name}.c")
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", into]
    subprocess.run([command, *flags, source, "-ldl"], check=True)
    return into


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="prokerja-shim-")
