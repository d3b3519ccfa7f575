"""Locks that tell the living from the dead, and what wakes up those who wait."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.errors import StoreError, TryAgain
from prokerja.model.declaration import Status
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite import cancellations
from prokerja.repository.sqlite.cancellations import ASK
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.lock import held, hold
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.watch import Watch
from prokerja.repository.verbs import Membership
from prokerja.verdicts import Failed
from tests.sqlite.files import ROOT, START, asked, declare, mode, settle, take

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sqlite.store import SQLiteStore


def private(folder: Path) -> str:
    """A file of mode 0600, whose owner and mode a lock is to have."""
    path = folder / "like this"
    path.touch(0o600)
    return str(path)


def test_a_lock_is_held_until_the_last_holder_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not held(path)
    first = hold(path, private(tmp_path))
    second = os.dup(first)
    assert held(path)
    os.close(first)
    assert held(path)
    os.close(second)
    assert not held(path)
    assert mode(path) == 0o600


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from prokerja.repository.sqlite.lock import hold;"
        " hold(*sys.argv[1:]); print(); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path), private(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert held(str(path))
    holder.kill()
    holder.communicate()
    assert not held(str(path))


PROBE = """
import os, sys
from prokerja.repository.sqlite.lock import held
os.write(1, b".")
sys.stdin.read()
print(sum(held(sys.argv[1]) for _ in range(20_000)))
"""


def test_two_who_look_at_a_dead_workers_lock_at_once_both_see_that_it_is_dead(
    tmp_path: Path,
) -> None:
    """Else a report that looks just then makes a worker believe that its dead neighbour lives."""
    path = tmp_path / "lock"
    os.close(hold(str(path), private(tmp_path)))
    probes = [
        subprocess.Popen(
            [sys.executable, "-c", PROBE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    for probe in probes:
        assert probe.stdout is not None
        probe.stdout.read(1)
    for probe in probes:
        assert probe.stdin is not None
        probe.stdin.close()
    wrong = []
    for probe in probes:
        assert probe.stdout is not None
        wrong.append(int(probe.stdout.read()))
        probe.stdout.close()
        probe.wait()
    assert wrong == [0, 0]


def test_a_worker_on_the_books_lives_as_long_as_its_lock(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    first, lock = repository.registry.register(11, START, 2, Taking(("mail",), ["noop"], ["/jobs"]))
    second, other = repository.registry.register(12, START + 1, 1, Taking((), ()))
    assert second > first
    assert [worker.pid for worker in repository.registry.living()] == [11, 12]
    taking = Taking(("mail",), ("noop",), ("/jobs",))
    assert repository.registry.all()[0][1:5] == (11, START, 2, taking)
    os.close(lock)
    assert [worker.pid for worker in repository.registry.living()] == [12]
    with repository.database.writing():
        repository.registry.delete([first], START, died=True)
    repository.registry.delete_lock(first)
    repository.registry.unregister(Membership(second, other), 2e9)
    assert repository.registry.all() == []
    assert not list(path.parent.glob("*-worker-*"))
    third, last = repository.registry.register(13, START, 1, Taking((), ()))
    assert third > second, "a worker's id is part of its tokens and never used again"
    repository.registry.unregister(Membership(third, last), 2e9)
    repository.close()


def test_what_fails_right_before_a_commit_leaves_no_transaction_open(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    with pytest.raises(StoreError, match="cannot hold it"), repository.database.writing():
        repository.database.log.add("paused", START, ("\udcff", None, None, None))
    repository.limit_queue("default", 2)
    assert [rule.name for rule in repository.queue_rules()] == ["default"]
    repository.close()


def test_upkeep_waits_its_turn_before_it_looks_for_lanes_to_fold(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = SQLiteRepository(str(path))
    begun: list[bool] = []

    def execute(statement: str, *given: Any) -> sqlite3.Cursor:
        begun.append(repository.database.connection.in_transaction)
        return repository.database.connection.execute(statement, *given)

    monkeypatch.setattr(repository.database, "execute", execute)
    assert not repository.folding.fold(START, 1.0)
    assert begun
    assert all(begun)
    repository.close()


def test_a_write_of_another_process_wakes_who_waits(path: Path) -> None:
    declare(path)
    repository = SQLiteRepository(str(path))
    watch = Watch(repository.path)
    assert not watch.drain()
    script = f"""
        from prokerja.model.declaration import Declaration, Lane
        from prokerja.repository.sqlite.repository import SQLiteRepository
        SQLiteRepository({str(path)!r}).declarations.add(
            [Declaration(Lane("q", "n", 0), "{{}}", 0.0, 0, 1.0, None)], 2e9)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    other = subprocess.Popen(command, cwd=ROOT)
    watch.wait(60)
    assert other.wait() == 0
    assert [tally.pending for tally in repository.lanes.tallies()] == [1, 1]
    watch.close()
    repository.close()


def test_a_reader_wakes_nobody(path: Path) -> None:
    declare(path)
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    watch = Watch(repository.path)
    with other.database.reading():
        other.lanes.tallies()
    other.close()
    watch.drain()
    if watch.fileno() >= 0:
        os.set_blocking(watch.fileno(), False)
        with pytest.raises(BlockingIOError):
            os.read(watch.fileno(), 4096)
    watch.close()
    repository.close()


def test_the_death_of_a_worker_wakes_who_watches_its_lock(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    id, lock = repository.registry.register(1, START, 1, Taking((), ()))
    watch = Watch(repository.path)
    watch.drain()
    watch.locks([repository.registry.lock_path(id), str(path) + "-worker-99"])
    assert repository.registry.alive(id)
    assert not watch.drain() or watch.fileno() < 0
    os.close(lock)
    watch.wait(60) if watch.fileno() < 0 else None
    assert watch.drain()
    watch.close()
    repository.close()


def test_a_database_in_memory_wakes_who_waits_by_a_poke() -> None:
    watch = Watch(":memory:")
    for _ in range(100_000):  # more than a pipe holds
        watch._poke()
    watch.wait(60)
    watch.close()


def test_a_database_in_memory_works_like_any_other() -> None:
    repository = SQLiteRepository(":memory:")
    assert list(repository.declarations.add([asked()], START)) == [1]
    settle(repository, take(repository, TURNS), 1)
    assert [tally.completed for tally in repository.lanes.tallies()] == [1]
    id, lock = repository.registry.register(1, START, 1, Taking((), ()))
    assert lock == -1
    assert repository.registry.alive(id)
    repository.registry.unregister(Membership(id, lock), 2e9)
    repository.close()


def test_two_databases_in_memory_have_nothing_in_common() -> None:
    one, other = SQLiteRepository(":memory:"), SQLiteRepository(":memory:")
    one.declarations.add([asked()], START)
    assert other.lanes.tallies() == []
    one.close()
    other.close()


def test_busy_is_reported_as_try_again(path: Path) -> None:
    one, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    other.database.patience = 0.0
    with one.database.writing(), pytest.raises(TryAgain, match="locked by another process; try ag"):
        other.declarations.add([asked()], START)
    assert list(other.declarations.add([asked()], START)) == [1]
    one.close()
    other.close()


def test_a_worker_does_not_look_past_somebody_who_is_just_cancelling(store: SQLiteStore) -> None:
    [id] = store.declare()
    [(token, _)] = store.take().values()
    store.repository.patience = 0.0
    other = SQLiteRepository(store.path)
    with other.database.writing():
        other.database.execute(ASK, (id, token, "cancelled"))
        with pytest.raises(TryAgain):
            store.repository.requests(store.worker, START)
    other.close()
    assert [one.id for one in store.repository.requests(store.worker, START).cancelled] == [id]


def test_what_comes_back_while_all_are_cancelled_does_not_stay(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asked()._replace(retries=3, retry_after=0.0)
    held, waits = store.declare(again, asked(due_at=START + 9))
    [(token, lane)] = store.take().values()

    def in_slices() -> Iterator[None]:
        store.settle(token, (held, lane, Failed(START, START, "by itself")))
        yield

    monkeypatch.setattr(cancellations, "in_slices", in_slices)
    assert store.repository.cancel_matching(Filter(), "cancelled", START) == (2, 1)
    assert {store.one(id).status for id in (held, waits)} == {Status.FAILED}


def test_what_was_left_of_an_earlier_claim_does_not_keep_a_job_from_being_cancelled(
    store: SQLiteStore,
) -> None:
    [id] = store.declare()
    [(token, _)] = store.take().values()
    with store.repository.database.writing():  # as after an older worker, which knows no such rows
        store.repository.database.execute(ASK, (id, token - TURNS, "old"))
    assert store.repository.cancel([id], "cancelled", START) == 1
    assert store.repository.requests(store.worker, START).cancelled == [(token, id, "cancelled")]


def test_metrics_leave_nothing_behind_in_the_connection(store: SQLiteStore) -> None:
    notices = store.repository.database.on_rollback
    before = list(notices)
    for _ in range(3):
        store.repository.metrics(None, START)
    assert notices == before
