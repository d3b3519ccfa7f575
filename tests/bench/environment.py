"""The benchmark's own environments: what it compares with is installed apart from the project."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import venv
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.stage import HERE, LeftOut, surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

HOME = os.path.join(HERE, ".env")
READY = ".ready"


class Environment(NamedTuple):
    """Packages of one registry in a directory of their own, installed when first needed."""

    name: str
    packages: tuple[str, ...]
    node: bool = False
    """Packages from npm for node; else from PyPI for Python."""
    python: tuple[int, int] = (3, 11)
    """The oldest Python that the packages ask for."""

    @property
    def path(self) -> str:
        """The directory."""
        return os.path.join(HOME, self.name)

    def program(self, name: str) -> str:
        """The path of a program that the packages bring."""
        return "node" if self.node else os.path.join(self.path, "bin", name)

    def install(self) -> None:
        """Make sure of it; raises LeftOut where that cannot be done."""
        stamp = os.path.join(self.path, READY)
        wanted = "\n".join(self.packages)
        if _read(stamp) == wanted:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(self.path)
        if self.node:
            self._install_for_node()
        else:
            self._install_for_python()
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(wanted)

    def _install_for_node(self) -> None:
        if not (shutil.which("node") and shutil.which("npm")):
            raise LeftOut("there is no node or no npm")
        with open(os.path.join(self.path, "package.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self._run(["npm", "install", "--no-audit", "--no-fund", *self.packages])

    def _install_for_python(self) -> None:
        python = _python(self.python)
        if python == sys.executable:
            venv.create(self.path, with_pip=True)
        else:
            self._run([python, "-m", "venv", self.path])
        pip = [self.program("python"), "-m", "pip", "--disable-pip-version-check"]
        self._run([*pip, "install", "--quiet", *self.packages])

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            command, cwd=self.path, env=surroundings(), capture_output=True, check=False, text=True
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no word why"]
            raise LeftOut(f"installing {', '.join(self.packages)} failed: {last[0]}")


def _python(oldest: tuple[int, int]) -> str:
    """This Python if it is new enough, else another one on the machine."""
    if sys.version_info[:2] >= oldest:
        return sys.executable
    named = [shutil.which(f"python3.{minor}") for minor in range(oldest[1], oldest[1] + 4)]
    kept = glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python"))
    for python in filter(None, (*named, *kept)):
        ask = f"import sys, venv; sys.exit(sys.version_info < {oldest})"
        done = subprocess.run([python, "-c", ask], capture_output=True, check=False)
        if done.returncode == 0:
            return python
    raise LeftOut(f"there is no Python {oldest[0]}.{oldest[1]} or newer")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
