"""The write-ahead log, and the disk it fills."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prokerja.repository.sqlite.database import BEGUN_LOG_BYTES
from prokerja.repository.sqlite.opening import (
    MAX_LOG_BYTES,
)
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.files import ROOT, START, asked


def test_the_log_stays_small_however_much_is_written_and_can_be_cut_off(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)  # it is the size that matters here
    log = Path(f"{path}-wal")
    payload = json.dumps({"a": "x" * 500_000})
    largest = 0
    for _ in range(200):
        repository.declarations.add([asked(payload), asked(payload)], START)
        largest = max(largest, log.stat().st_size)
    assert path.stat().st_size > 150e6
    assert largest < 16e6
    repository.database.shorten_log()
    assert log.stat().st_size == 0
    assert path.stat().st_size > 200e6
    repository.close()


def test_after_one_huge_transaction_the_log_shrinks_again(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)
    log = Path(f"{path}-wal")
    payload = json.dumps({"a": "x" * 900_000})
    repository.declarations.add((asked(payload) for _ in range(100)), START)
    assert log.stat().st_size > MAX_LOG_BYTES
    repository.declarations.add([asked()], START)
    repository.declarations.add([asked()], START)
    assert log.stat().st_size <= MAX_LOG_BYTES
    repository.close()


def test_an_idle_worker_begins_the_next_log_and_leaves_it_so(path: Path) -> None:
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    log = Path(f"{path}-wal")
    repository.declarations.add([asked()], START)
    repository.maintain()
    begun = log.read_bytes()
    assert 0 < len(begun) <= BEGUN_LOG_BYTES
    other.maintain()
    repository.maintain()
    assert log.read_bytes() == begun, "idle workers would wake each other"
    assert path.stat().st_size > 2**16
    other.close()
    repository.close()


def test_the_next_log_is_begun_later_if_somebody_writes(path: Path) -> None:
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    repository.database.patience = 0.0
    with other.database.writing():
        repository.maintain()
    repository.maintain()
    assert Path(f"{path}-wal").stat().st_size <= BEGUN_LOG_BYTES
    other.close()
    repository.close()


def test_shortening_the_log_gives_way_to_a_reader_and_a_writer(path: Path) -> None:
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    with other.database.reading():
        other.lanes.tallies()
        repository.declarations.add([asked()], START)
        repository.database.shorten_log()
    with other.database.writing():
        repository.database.shorten_log()
    repository.database.shorten_log()
    assert Path(f"{path}-wal").stat().st_size == 0
    repository.close()
    other.close()


FULL = """
import itertools, json, os, resource, sys
from prokerja.errors import ProkerjaError, TryAgain
from prokerja.model.declaration import Declaration, Lane, Status
from prokerja.model.record import Filter
from prokerja.verdicts import Completed
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.codes import TURNS

folder, how = sys.argv[1:3]
path = os.path.join(folder, "q.db")
ballast = os.path.join(folder, "ballast")
ROOM = 3_000_000
SIZE = {"limit": 20_000, "disk": 200_000}[how]
if how == "disk":
    open(ballast, "wb").write(bytes(32_000_000))

def tight():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))

def roomy():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        os.unlink(ballast)

def asked(size):
    payload = json.dumps({"a": "x" * size})
    return Declaration(Lane("default", "noop", 0), payload, 0.0, 0, 1.0, None)

def lanes():
    with repository.database.reading():
        return list(repository.lanes.matching(None, None))

def ids():
    with repository.database.reading():
        return sorted(r.id for r in repository.history.newest(Filter(), 10**6))

tight()
repository = SQLiteRepository(path)
acknowledged, refused = [], []
while len(refused) < 3:
    try:
        acknowledged += repository.declarations.add([asked(SIZE) for _ in range(5)], 2e9)
    except TryAgain as error:
        refused.append([type(error).__name__, str(error), error.exit_code])
answer = {"refused": refused, "acknowledged": len(acknowledged)}
answer["lost"] = sorted(set(acknowledged) ^ set(ids()))
try:
    answer["purged"] = repository.purging.purge(lanes(), Status.PENDING, 3e9, most=50)
except ProkerjaError as error:
    answer["purged"] = str(error)
answer["after"] = len(ids())
before = len(ids())
roomy()
answer["with room"] = len(repository.declarations.add([asked(20_000) for _ in range(100)], 2e9))
answer["whole"] = len(ids()) - before
answer["check"] = repository.database.execute("PRAGMA integrity_check").fetchone()[0]
[tally] = repository.lanes.tallies()
answer["tally"] = tally.pending - len(ids())
repository.close()
print(json.dumps(answer))
"""


def fill(folder: Path, how: str, *before: str) -> dict[str, Any]:
    """Declare until there is no room, purge, go on; what came of it."""
    command = [*before, sys.executable, "-c", FULL, str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == "", done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def may_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("wanted", ["disk", "limit"])
def test_a_full_disk_loses_nothing_and_can_be_purged_and_used_on(
    tmp_path: Path, wanted: str
) -> None:
    """On a small disk of its own if we may mount one, else under a limit to the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    if wanted == "disk" and may_mount(folder):
        # In a mount namespace of its own: the disk is gone with the process.
        mount = f'mount -t tmpfs -o size=96m tmpfs {folder} && exec "$@"'
        answer = fill(folder, "disk", "unshare", "--mount", "sh", "-c", mount, "sh")
        kinds = r"the disk is full; nothing was changed; make room and try again"
    else:
        answer = fill(folder, "limit")
        kinds = r"nothing was changed; (make room|check the disk) and try again"
    for kind, message, code in answer["refused"]:
        assert (kind, code) == ("TryAgain", 75)
        assert re.search(kinds, message)
    assert answer["acknowledged"] >= 50
    assert answer["lost"] == []
    assert answer["with room"] == answer["whole"] == 100
    assert answer["check"] == "ok"
    assert answer["tally"] == 0
    if kinds.startswith("the disk"):
        # With no byte left for the log, even a purge has to wait for room.
        gone = 50 if answer["purged"] == 50 else 0
        assert gone or re.search(kinds, str(answer["purged"]))
        assert answer["after"] == answer["acknowledged"] - gone
