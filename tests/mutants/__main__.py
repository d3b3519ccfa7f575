"""Break one promise after another in a copy of the project, and see that tests fail.

`python -m tests.mutants [WORD]...` takes those whose promise contains one of the words.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("prokerja", "jobs", "tests", "README.md", "Makefile", "pyproject.toml", "LICENSE")
UNWANTED = shutil.ignore_patterns("__pycache__", ".env", "results", ".*_cache")
PASSED, FAILED = 0, 1
"""Exit codes of pytest; others mean that no test has judged, as after an error of syntax."""


def main(words: list[str]) -> int:
    """How many mutations no test has noticed; each is told with what came of it."""
    chosen = [one for one in MUTATIONS if not words or any(word in one.promise for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="prokerja-mutants-") as place:
        copy = Path(place)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=UNWANTED)
            else:
                shutil.copy(source, copy / name)
        for mutation in chosen:
            began = time.monotonic()
            noticed = is_noticed(mutation, copy)
            survivors += not noticed
            verdict = "noticed " if noticed else "SURVIVED"
            print(f"{verdict} {time.monotonic() - began:5.1f} s  {mutation.promise}", flush=True)
    print(f"{len(chosen)} promises broken, {survivors} unnoticed")
    return survivors


def is_noticed(mutation: Mutation, copy: Path) -> bool:
    """Whether the tests pass as the code is, and fail once it is changed."""
    file = copy / "prokerja" / mutation.file
    text = file.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.file} has {mutation.old!r} {text.count(mutation.old)} times")
    if run(mutation, copy) != PASSED:
        raise SystemExit(f"{mutation.tests}: these tests fail without any change")
    file.write_text(text.replace(mutation.old, mutation.new))
    try:
        return run(mutation, copy) == FAILED
    finally:
        file.write_text(text)


def run(mutation: Mutation, copy: Path) -> int:
    """The exit code of the tests of a promise, which have to be run."""
    words = [
        f"tests/{word}" if word.endswith(".py") else word for word in shlex.split(mutation.tests)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode not in (PASSED, FAILED):
        raise SystemExit(f"{mutation.tests}: pytest left with {done.returncode}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
