"""What tests of the file share: declaring, claiming, settling, and a child that is not root."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.errors import StoreError
from prokerja.model.declaration import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.verdicts import Completed, Failed, Released
from tests.sqlite import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.model.claim import Claimed

ROOT = Path(__file__).parents[2]
START = 1_900_000_000.0
LANE = Lane("default", "noop", 0)
COMPANIONS = ("-wal", "-shm", "-journal")


def asked(payload: str = "{}", lane: Lane = LANE, due_at: float = 0.0) -> Declaration:
    return Declaration(lane, payload, due_at, 0, 10.0, None)


def declare(path: Path | str, *declarations: Declaration) -> list[int]:
    """Open the file, declare, close it."""
    repository = SQLiteRepository(str(path))
    try:
        return list(repository.declarations.add(declarations or [asked()], START))
    finally:
        repository.close()


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def refusal(action: Callable[[], object], kind: type[StoreError] = StoreError) -> str:
    """The one line that says why the store cannot be used."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    assert re.search(r"[;:] ", message), "it says what to do next"
    return message


def take(repository: SQLiteRepository, token: int, room: int = 10**6) -> list[Claimed]:
    """Claim what is due at the start."""
    return store.take(repository, token, START, room)


def settle(repository: SQLiteRepository, claimed: list[Claimed], code: int) -> None:
    """Complete (1), fail (2) or give back (0) what was claimed."""
    verdicts: list[Any] = []
    for n, (id, lane) in enumerate((one.id, one.lane) for one in claimed):
        if code == 0:
            verdicts.append((id, lane, Released(counted=True)))
        elif code == 1:
            verdicts.append((id, lane, Completed(START, START + n, None)))
        else:
            verdicts.append((id, lane, Failed(START, START + n, "no", "here")))
    with repository.database.writing():
        repository.claims.settle(claimed[0].token, verdicts, START + 1, lambda: 0.5)


AS_NOBODY = """
import json, os, sys
import psutil
from prokerja.repository.sqlite import claims, history, workers
from prokerja.errors import ProkerjaError
from prokerja.model.declaration import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.opening import filesystem
path = sys.argv[1]
filesystem("/")
SQLiteRepository(":memory:").close()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    repository = SQLiteRepository(path, create="create" in sys.argv)
    repository.declarations.add([Declaration(Lane("q", "n", 0), "{}", 0.0, 0, 1.0, None)], 2e9)
    answer = ["fine", ""]
except ProkerjaError as error:
    answer = [type(error).__name__, str(error), error.exit_code]
print(json.dumps(answer))
"""


def as_nobody(path: Path, *words: str) -> list[Any]:
    """What comes of opening and declaring as a user with no special rights."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stderr == ""
    answer: list[Any] = json.loads(done.stdout)
    return answer


def given_to_nobody(path: Path, mode: int) -> Path:
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    path.chmod(mode)
    return path
