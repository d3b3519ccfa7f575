"""What is counted for good, and what runs and has failed, as watchers ask for it."""

from __future__ import annotations

from prokerja.model.declaration import Lane
from prokerja.model.metrics import BOUNDS, Bucket
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import COMPLETED, FAILED, START, Store, asked


def durations(store: Store, queue: str | None = None) -> list[Bucket]:
    """What the store has counted."""
    return store.repository.metrics(queue, store.now).durations


def test_attempts_are_counted_by_how_they_ended_and_how_long_they_took(store: Store) -> None:
    mail = Lane("mail", "send", 5)
    ids = store.declare(asked(), asked(retries=1, retry_after=0), asked(mail), asked(mail))
    taken = store.take()
    for id, seconds in zip(ids, (0.001, 0.2, 90.0, 1e9), strict=True):
        token, lane = taken[id]
        times = (START - seconds, START)
        store.settle(token, (id, lane, Failed(*times, "no") if id == ids[1] else Completed(*times)))
    assert [row._replace(seconds=round(row.seconds, 3)) for row in durations(store)] == [
        ("default", "noop", False, 0.5, 1, 0.2),
        ("default", "noop", True, 0.01, 1, 0.001),
        ("mail", "send", True, 300.0, 1, 90.0),
        ("mail", "send", True, BOUNDS[-1], 1, 1e9),
    ]
    assert len(durations(store, "mail")) == 2
    store.complete(ids[1])
    assert sum(row.attempts for row in durations(store)) == 5


def test_what_was_counted_outlives_its_jobs(store: Store) -> None:
    ids = store.declare(asked(), asked())
    store.complete(*ids)
    before = durations(store)
    assert store.purge(COMPLETED, START + 1) == 2
    assert durations(store) == before
    assert before[0].attempts == 2


def test_what_comes_too_late_and_what_did_not_run_is_not_counted(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Released(counted=True)))
    store.settle(token, (id, lane, Completed(START, START)))
    assert durations(store) == []


def test_an_attempt_that_died_with_its_worker_has_failed(store: Store) -> None:
    [id] = store.declare()
    [(token, _)] = store.take().values()
    store.begin(token, id)
    store.now += 20
    store.recover()
    assert durations(store) == [("default", "noop", False, 30.0, 1, 20.0)]


def test_a_clock_that_is_set_back_makes_no_attempt_shorter_than_nothing(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Completed(START, START - 100)))
    assert durations(store) == [("default", "noop", True, 0.01, 1, 0.0)]


def test_what_runs_is_told_with_its_worker_the_longest_first(store: Store) -> None:
    first, second, third = store.declare(asked(), asked(Lane("mail", "send", 0)), asked())
    taken = store.take()
    for id in (second, first):
        store.begin(taken[id][0], id)
        store.now += 1
    running = store.repository.running(None, 9)
    assert [(one.record.id, one.worker) for one in running] == [(second, 1), (first, 1)]
    assert running[0].record.started_at == START
    assert [one.record.id for one in store.repository.running(None, 1)] == [second]
    assert [one.record.id for one in store.repository.running("default", 9)] == [first]
    assert store.one(third).started_at is None


def test_failures_come_by_their_end_the_latest_first(store: Store) -> None:
    ids = store.declare(asked(), asked(Lane("mail", "send", 0)), asked(), asked(retries=1))
    for id in (ids[2], ids[1], ids[0], ids[3]):
        store.now += 1
        store.fail(id)
    found = store.repository.failures(None, 9)
    assert [record.id for record in found] == [ids[0], ids[1], ids[2]]
    assert {record.status for record in found} == {FAILED}
    assert [record.id for record in store.repository.failures("mail", 9)] == [ids[1]]
    assert len(store.repository.failures(None, 2)) == 2
