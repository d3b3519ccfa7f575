"""Clocks that are set by hours while a worker runs: nothing is lost, nothing waits for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja.notices import Rule
from prokerja.verdicts import Failed, Postponed
from prokerja.worker.duties.clock import JUMP_SECONDS
from tests.harness.home import inside
from tests.harness.waiting import wait_until
from tests.sqlite.files import START, asked, take

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.repository.sqlite.repository import SQLiteRepository
    from prokerja.verdicts import Verdict
    from tests.harness.home import Home

HOUR = 3600.0
SHIFTED = """
import os, time
clock = time.time

def shifted():
    try:
        with open(os.environ["CLOCK"]) as file:
            return clock() + float(file.read() or 0)
    except OSError:
        return clock()

time.time = shifted
"""
"""Adds to the time of day the seconds that stand in a file."""


@pytest.fixture
def clock(home: Home) -> Path:
    """The file that says by how much the clock of all processes is off."""
    place = home.path / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(SHIFTED)
    file = place / "seconds"
    home.customize(place)
    home.in_environment({"CLOCK": str(file)})
    return file


def put(clock: Path, seconds: float) -> None:
    """Set it, in one go."""
    new = clock.with_name("new")
    new.write_text(str(seconds))
    new.rename(clock)


def test_a_clock_that_is_put_back_leaves_due_what_was_and_early_nothing(
    home: Home, clock: Path
) -> None:
    worker = home.worker().ready()
    running = home.run("wait_for('gate')")
    wait_until(lambda: home.running(running))
    due = home.declare("run", "code=return 1")
    later = home.declare("run", "code=return 1", "--in", "30m")
    put(clock, -2 * HOUR)
    home.open("gate")
    home.wait(running)
    home.wait(due[0])
    fresh = home.declare("run", "code=return 1")
    soon = home.declare("run", "code=return 1", "--in", "10m")
    home.wait(fresh[0])
    assert home.statuses([*later, *soon]) == ["pending", "pending"]
    assert worker.said().count("the clock was put back by 2h 0m") == 1
    put(clock, 0)
    home.wait(home.declare("run", "code=return 1")[0])
    home.wait(soon[0])
    assert home.statuses(later) == ["pending"]


def test_a_clock_that_is_put_forward_makes_due_what_is_due_by_it_and_nothing_else(
    home: Home, clock: Path
) -> None:
    worker = home.worker().ready()
    sooner, later = (home.declare("run", "code=pass", "--in", delay)[0] for delay in ("1h", "3h"))
    put(clock, 2 * HOUR)
    home.declare("run", "code=pass")
    home.wait(sooner)
    assert home.statuses([later]) == ["pending"]
    said = "the clock was put forward, or the machine slept, by 2h 0m"
    assert worker.said().count(said) == 1


def test_an_idle_worker_whose_clock_was_set_does_not_run_hot(home: Home, clock: Path) -> None:
    worker = home.worker().ready()
    home.wait(home.run("pass"))
    home.declare("run", "code=pass", "--in", "1h")
    put(clock, -50 * HOUR)
    home.wait(home.declare("run", "code=pass")[0])
    wait_until(lambda: "the clock was put back" in worker.said())
    wait_until(worker.asleep)
    process = psutil.Process(worker.pid)
    before, began = process.cpu_times(), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1)
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.2
    assert JUMP_SECONDS < 60


def dues(repository: SQLiteRepository) -> dict[int, float]:
    """When what waits is due, by id."""
    with repository.database.reading():
        queued = dict(repository.database.execute("SELECT declaration, due_at FROM pending"))
        known = "SELECT id, due_at FROM declaration WHERE id IN (SELECT declaration FROM pending)"
        assert dict(repository.database.execute(known)) == queued
    return queued


def test_what_was_due_by_a_clock_that_was_ahead_is_due_and_what_was_asked_for_is_not(
    home: Home,
) -> None:
    repository = inside(home.queue)
    now = START - 2 * HOUR
    before_that = now - 1.0
    retried = asked()._replace(retries=3)
    failing, postponed = repository.declarations.add([retried, asked()], before_that)
    claimed = take(repository, 1)
    failed = Failed(START, START, "no", None, retry_in=0.5)
    verdicts: list[Verdict] = [failed, Postponed(START, START, 0.5)]
    with repository.database.writing():
        settlements = [
            (job.id, job.lane, verdict) for job, verdict in zip(claimed, verdicts, strict=True)
        ]
        repository.claims.settle(1, settlements, START, lambda: 0.5)
    at = START - HOUR
    [named] = repository.declarations.add([asked(due_at=at)], before_that)
    immediate, delayed = repository.declarations.add([asked(), asked(due_at=START + 60)], START)
    assert repository.clock_put_back(START + 30, now)
    after = dues(repository)
    assert after[immediate] == now
    assert after[failing] == now
    assert after[postponed] == now
    assert after[named] == at
    assert after[delayed] == START + 60


def test_a_retry_that_was_not_due_yet_does_not_wait_for_the_jump(home: Home) -> None:
    repository = inside(home.queue)
    now = START - HOUR
    repository.declarations.add([asked()._replace(retries=3) for _ in range(3)], now - 1.0)
    claimed = take(repository, 1)
    with repository.database.writing():
        settlements = [
            (job.id, job.lane, Failed(start, start, "no", None, retry_in=delay))
            for job, start, delay in zip(
                claimed, (START, START, now - 0.5), (60.0, 2 * HOUR, 1.5 * HOUR), strict=True
            )
        ]
        repository.claims.settle(1, settlements, START, lambda: 0.5)
    soon, late, rightly = (job.id for job in claimed)
    before = dues(repository)
    assert repository.clock_put_back(START + 1, now)
    after = dues(repository)
    assert after[soon] == now
    assert after[late] == before[late]  # it would be early by more than the jump
    assert after[rightly] == before[rightly]


def test_of_many_some_are_corrected_at_a_time(home: Home) -> None:
    repository = inside(home.queue)
    ids = repository.declarations.add([asked() for _ in range(700)], START)
    assert not repository.clock_put_back(START, START - HOUR)
    assert repository.clock_put_back(START, START - HOUR)
    assert dues(repository) == dict.fromkeys(ids, START - HOUR)


def test_notices_that_are_gathered_are_not_held_back_for_hours(home: Home) -> None:
    repository = inside(home.queue)
    rule = Rule(("true",), every=60.0).to_json()
    with repository.database.writing():
        insert = "INSERT INTO gathering (kind, rule, until, count, facts) VALUES (?, ?, ?, 1, '[]')"
        repository.database.execute(insert, ("failed", rule, START + 60))
        repository.database.execute(insert, ("completed", rule, START - HOUR - 60))
    now = START - HOUR
    assert repository.clock_put_back(START, now)
    found = dict(repository.database.execute("SELECT kind, until FROM gathering"))
    assert found == {"failed": now + 60, "completed": START - HOUR - 60}
