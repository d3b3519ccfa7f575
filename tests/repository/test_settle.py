"""What comes of a claimed job: verdicts, follow-ups, and what comes too late."""

from __future__ import annotations

from prokerja.model.declaration import Lane
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, START, Store, asked


def test_a_completed_job_keeps_its_result_and_times(store: Store) -> None:
    [id] = store.declare()
    store.complete(id, result='{"n":1}')
    record = store.one(id)
    assert (record.status, record.attempts, record.result) == (COMPLETED, 1, '{"n":1}')
    assert (record.started_at, record.finished_at) == (START - 1, START)
    [attempt] = store.attempts(id)
    assert (attempt.number, attempt.error, attempt.finished_at) == (1, None, START)


def test_a_failed_job_is_due_again_after_its_backoff_and_fails_for_good_at_last(
    store: Store,
) -> None:
    [id] = store.declare(asked(retries=2, retry_after=10))
    assert store.fail(id) == [(id, 1, START + 10)]
    assert store.one(id).status is PENDING
    assert store.take() == {}
    store.now += 10
    assert store.fail(id) == [(id, 2, START + 30)]
    store.now += 20
    assert store.fail(id, error="KeyError: last") == [(id, 3, None)]
    record = store.one(id)
    assert (record.status, record.attempts, record.error) == (FAILED, 3, "KeyError: last")
    attempts = store.attempts(id)
    assert [(a.number, a.worker, a.error, a.traceback) for a in attempts] == [
        (1, 1, "ValueError: no", "in handle()"),
        (2, 1, "ValueError: no", "in handle()"),
        (3, 1, "KeyError: last", "in handle()"),
    ]


def test_a_job_that_succeeds_in_the_end_keeps_its_earlier_errors(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=0))
    store.fail(id)
    store.complete(id)
    store.one(id)
    attempts = store.attempts(id)
    assert [(a.number, a.error) for a in attempts] == [(1, "ValueError: no"), (2, None)]


def test_jobs_declared_by_a_job_exist_if_it_completed_and_only_then(store: Store) -> None:
    good, bad = store.declare(asked(), asked())
    taken = store.take()
    token, lane = taken[good]
    more = (asked(Lane("mail", "send", 0)), asked(Lane("mail", "send", 0), due_at=START + 9))
    store.settle(
        token,
        (good, lane, Completed(START, START, None, more)),
        (bad, lane, Failed(START, START, "no")),
        (bad, lane, Completed(START, START, None, more)),
    )
    assert store.newest(None, "mail") == [4, 3]
    assert store.one(4).due_at == START + 9


def test_a_settle_with_an_old_token_changes_nothing(store: Store) -> None:
    [id] = store.declare()
    [(old, lane)] = store.take().values()
    store.recover()
    [(new, _)] = store.take().values()
    before = store.everything()
    late = (id, lane, Completed(START, START, '"late"', (asked(),)))
    assert store.settle(old, late) == []
    assert store.settle(old, (id, lane, Failed(START, START, "late"))) == []
    assert store.settle(old, (id, lane, Released(counted=True))) == []
    assert store.everything() == before
    store.settle(new, (id, lane, Completed(START, START, '"in time"')))
    assert store.one(id).result == '"in time"'


def test_the_second_of_two_verdicts_on_one_attempt_changes_nothing(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    failed = (id, lane, Failed(START, START, "no"))
    assert store.settle(token, (id, lane, Completed(START, START, "1")), failed) == []
    assert store.settle(token, failed) == []
    assert (store.one(id).status, store.one(id).result) == (COMPLETED, "1")


def test_a_note_that_a_job_has_started_changes_nothing_once_it_is_settled(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Completed(START - 2, START, None)))
    store.now += 50
    store.begin(token, id)
    assert store.one(id).started_at == START - 2


def test_a_note_with_an_old_token_does_not_make_a_waiting_job_a_running_one(store: Store) -> None:
    [id] = store.declare()
    [(old, _)] = store.take().values()
    store.recover()
    other = store.join()
    [(token, _)] = store.take(worker=other).values()
    store.begin(token, id)
    store.begin(old, id)
    assert store.recover(other) == 1
    assert store.one(id).attempts == 1, "it was running in a worker that has died"


def test_started_jobs_are_shown_with_the_moment_they_began(store: Store) -> None:
    first, second = store.declare(asked(), asked())
    token = store.take()[first][0]
    store.begin(token, second)
    assert store.one(first).started_at is None
    assert store.one(second).started_at == START
    assert {store.one(first).status, store.one(second).status} == {PROCESSING}
