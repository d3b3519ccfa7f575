"""Workers on a disk that fills up: they take no jobs, lose nothing, stop when they are told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from prokerja.sizes import human
from prokerja.verdicts import Completed, Released
from prokerja.worker.duties import disk_space
from prokerja.worker.duties.disk_space import DiskSpace
from prokerja.worker.unwritten import keep_unwritten
from prokerja.worker.wire import journal
from prokerja.worker_events import ResultsKept
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prokerja.verdicts import Settlement
    from tests.harness.home import Home
    from tests.harness.worker import Worker

SIZE = 8 * 2**20


@pytest.fixture
def small(home: Home) -> Iterator[Path]:
    """A small disk, on which the queue is."""
    folder = home.path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    home.db = folder / "queue.sqlite3"
    home.in_environment({"PROKERJA_DB": str(home.db)})
    yield folder
    home.close()
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Take what the disk has, but for so many bytes; returns the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    os.truncate(ballast, ballast.stat().st_size - left)
    return ballast


def notes(home: Home) -> list[str]:
    """What workers say of themselves, in the report."""
    workers = home.ask("report")["workers"]
    return [note["text"] for worker in workers for note in worker["notes"]]


def test_under_the_floor_a_worker_takes_no_jobs_says_so_and_goes_on_by_itself(
    home: Home, small: Path
) -> None:
    running = home.run("wait_for('gate'); return 'ended'")
    worker = home.worker("--realizers", "2").ready()
    wait_until(lambda: home.running(running))
    ballast = fill(small, left=SIZE // 25)
    why = f"less than {human(SIZE // 20)} is free on the disk of {small}; make room"
    looked = time.monotonic()
    wait_until(lambda: time.monotonic() > looked + disk_space.LOOK_SECONDS)
    waiting = home.run("return 1")
    wait_until(lambda: f"taking no jobs: {why}" in worker.said(), SOON)
    wait_until(lambda: notes(home) == [why], SOON)
    home.open("gate")
    assert home.wait(running)["result"] == "ended"
    assert home.statuses([waiting]) == ["pending"]
    ballast.unlink()
    assert home.wait(waiting, limit=2 * SOON)["result"] == 1
    assert worker.said().count("taking no jobs: ") == 1
    assert "taking jobs again" in worker.said()
    wait_until(lambda: notes(home) == [])
    wait_until(worker.asleep)


@pytest.mark.parametrize(("floor", "held"), [("0", False), ("1M", True)])
def test_the_floor_is_what_the_options_say(home: Home, small: Path, floor: str, held: bool) -> None:
    id = home.run("return 1")
    fill(small, left=SIZE // 25)
    worker = home.worker("--disk-free", floor)
    if held:
        wait_until(lambda: "less than 1 MB is free" in worker.said())
        assert home.statuses([id]) == ["pending"]
    else:
        home.wait(id)


class Turning:
    """What a duty asks of the turns."""

    is_to_claim = True


class Holding:
    """What a duty holds."""

    def __init__(self) -> None:
        self.why = ""

    def hold(self, kind: str, why: str, now: float) -> None:
        self.why = why

    def lift(self, kind: str) -> None:
        self.why = ""


class Disk(NamedTuple):
    """What the system says of a file system."""

    f_frsize: int
    f_blocks: int
    f_bavail: int
    f_bfree: int


@pytest.mark.parametrize(
    ("size", "free", "is_low"),
    [
        (2**40, 65 * 2**20, False),
        (2**40, 63 * 2**20, True),
        (16 * 2**20, 2**20, False),
        (16 * 2**20, 2**19, True),
        (0, 0, False),
    ],
)
def test_the_usual_floor_is_64_mib_or_a_twentieth_of_a_small_disk_as_the_user_has_it(
    monkeypatch: pytest.MonkeyPatch, size: int, free: int, is_low: bool
) -> None:
    disk = Disk(1024, size // 1024, free // 1024, size // 1024)
    monkeypatch.setattr(disk_space.os, "statvfs", lambda _: disk)  # type: ignore[attr-defined]
    turns, holds = Turning(), Holding()
    duty = DiskSpace("/var/queue", None, turns, holds)  # type: ignore[arg-type]
    duty.run(100.0)
    assert bool(holds.why) == is_low
    assert duty.due == 101.0
    turns.is_to_claim = False
    assert duty.due == (101.0 if is_low else None)


def full(home: Home, small: Path, *codes: str) -> tuple[Worker, list[int], Path]:
    """A worker with these jobs running, on a disk that is full by then."""
    ids = [home.run(code, retries=0) for code in codes]
    worker = home.worker("--realizers", str(len(codes)), "--grace", "1s", "--disk-free", "0")
    wait_until(lambda: all(map(home.running, ids)))
    return worker.ready(), ids, fill(small)


def test_results_are_held_until_there_is_room_and_the_log_is_not_flooded(
    home: Home, small: Path
) -> None:
    code = "wait_for('gate'); return 'x' * 20_000"
    worker, ids, ballast = full(home, small, code)
    home.open("gate")
    wait_until(lambda: "the disk is full" in worker.said())
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 2.5)  # two more tries
    assert home.statuses(ids) == ["processing"]
    assert worker.said().count("the disk is full") == 1
    told = home("declare:shell", "--", "true", "x" * 100_000)
    assert told.code == 75
    ballast.unlink()
    assert home.wait(ids[0], limit=2 * SOON)["result"] == "x" * 20_000


def test_one_term_ends_a_worker_on_a_full_disk_and_the_next_writes_what_it_could_not(
    home: Home, small: Path
) -> None:
    gated = "note('{0}'); wait_for('gate'); {1}"
    worker, ids, ballast = full(
        home,
        small,
        gated.format("a", "return 'kept'"),
        gated.format("b", "raise ValueError('no')"),
        "note(os.getpid()); wait_for('never')",
    )
    [victim] = [line for line in home.ledger() if line.isdigit()]
    psutil.Process(int(victim)).kill()  # of which only the supervisor knows
    home.open("gate")
    wait_until(lambda: "the disk is full" in worker.said())
    began = time.monotonic()
    worker.send(signal.SIGTERM)
    assert worker.end() == 75, worker.said()
    assert time.monotonic() - began < 1 + 2 * SOON
    kept = "kept beside the queue, for the next worker to write: results of 3 jobs"
    assert kept in worker.said()
    ballast.unlink()
    home.work()
    assert home.wait(ids[0])["result"] == "kept"
    assert home.wait(ids[1], "failed")["error"] == "ValueError: no"
    assert "killed by SIGKILL" in home.wait(ids[2], "failed")["error"]
    assert sorted(home.ledger()) == sorted(["a", "b", victim])


def test_what_is_too_long_to_be_kept_is_told_of_and_what_was_released_needs_no_word(
    tmp_path: Path,
) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    done = [Completed(1.0, 2.0, json.dumps("x" * size)) for size in (5, journal.RING_BYTES)]
    told: list[object] = []
    settlements: dict[int, list[Settlement]] = {
        7: [(1, 1, done[0]), (2, 1, Released(counted=False))],
        8: [(3, 1, done[1])],
    }
    keep_unwritten(lock, 1, settlements, told.append)
    assert told == [ResultsKept(1, 1)]
    assert journal.read(lock, 1) == {(7, 1): done[0]}
    assert journal.read_all(str(tmp_path / "lock"), 2) == {(7, 1): done[0]}
    keep_unwritten(lock, 1, {9: [(4, 1, Released(counted=False))]}, told.append)
    assert len(told) == 1
    os.close(lock)


def test_a_journal_has_room_on_a_full_disk_and_keeps_the_newest(small: Path) -> None:
    lock = os.open(small / "lock", os.O_RDWR | os.O_CREAT)
    journal.reserve(lock, 2)
    fill(small)
    own = journal.Journal(lock, 1)
    ended = Completed(1.0, 2.0, json.dumps("x" * 1000))
    for id in range(100):
        own.add(((1, id), ended))
        own.write()
    found = {id for _, id in journal.read(lock, 1)}
    assert found >= set(range(95, 100))
    os.close(lock)
