"""Fresh starts for failed jobs, and the end of those no longer needed."""

from __future__ import annotations

import pytest

from prokerja.errors import NotFound, ProkerjaError, RequestError
from prokerja.model.declaration import Lane
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import (
    COMPLETED,
    FAILED,
    LANES,
    MANY,
    PENDING,
    PROCESSING,
    START,
    Store,
    asked,
    open_store,
)


def test_a_retry_counts_attempts_anew_and_keeps_those_before(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=10))
    store.fail(id)
    store.now += 10
    store.fail(id)
    store.now += 1
    store.repository.retry([id, id], store.now)
    record = store.one(id)
    assert (record.status, record.due_at, record.attempts) == (PENDING, store.now, 2)
    assert record.finished_at is None
    assert store.fail(id) == [(id, 3, store.now + 10)]
    store.now += 10
    assert store.fail(id) == [(id, 4, None)]
    attempts = store.attempts(id)
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (99, NotFound, "there is no job 99; `prokerja report:jobs` lists them"),
        (0, NotFound, "there is no job 0; "),
        (-1, NotFound, "there is no job -1; "),
        (2, RequestError, "job 2 has not failed; only failed jobs, and pending ones that are not"),
        (3, RequestError, "job 3 has not failed; only failed jobs"),
        (4, RequestError, "job 4 has not failed, and is due already; `prokerja report:job 4` says"),
    ],
)
def test_a_retry_with_one_bad_id_changes_nothing_at_all(
    store: Store, bad: int, kind: type[Exception], message: str
) -> None:
    store.declare(asked(), asked(), asked())
    store.fail(1)
    store.complete(2)
    assert list(store.take()) == [3]
    store.declare(asked())
    before = store.everything()
    with pytest.raises(kind, match=message):
        store.repository.retry([1, bad], store.now)
    assert store.everything() == before


def test_a_retry_of_a_number_too_large_for_any_id_says_there_is_no_such_job(store: Store) -> None:
    with pytest.raises(ProkerjaError):
        store.repository.retry([2**63], store.now)


def test_retrying_all_failed_jobs_takes_those_of_the_given_lanes_only(store: Store) -> None:
    mail = Lane("mail", "send", 0)
    one, other, good = store.declare(asked(), asked(mail), asked())
    store.fail(one, other)
    store.complete(good)
    assert store.repository.retry_failed("mail", None, store.now) == 1
    assert [store.one(id).status for id in (one, other, good)] == [FAILED, PENDING, COMPLETED]


def test_retrying_all_failed_jobs_works_across_slices(store: Store) -> None:
    count = 2 * MANY + 3
    ids = store.declare(*[asked()] * count)
    taken = store.take(count)
    token, lane = taken[1]
    store.settle(token, *[(id, lane, Failed(START, START, "no")) for id in ids])
    assert store.repository.retry_failed(None, None, store.now) == count
    assert store.counts() == [count, 0, 0, 0]


def test_purging_deletes_what_ended_before_with_all_its_attempts(store: Store) -> None:
    old, new, failed = store.declare(asked(retries=1, retry_after=0), asked(), asked())
    store.fail(old)
    store.complete(old)
    store.fail(failed)
    store.now += 10
    store.complete(new)
    assert store.purge(COMPLETED, START + 10) == 1
    assert store.newest() == [failed, new]
    with pytest.raises(NotFound, match=f"job {old} has been purged"):
        store.one(old)
    assert len(store.attempts(failed)) == 1
    assert store.purge(FAILED, START + 10) == 1
    assert store.newest() == [new]


def test_purging_pending_jobs_goes_by_their_due_time(store: Store) -> None:
    now, later = store.declare(asked(), asked(due_at=START + 60))
    assert store.purge(PENDING, START) == 0
    assert store.purge(PENDING, START + 1) == 1
    assert store.newest() == [later]
    assert now not in store.take()
    assert store.purge(PENDING, float("inf")) == 1
    assert store.counts() == [0, 0, 0, 0]


def test_purging_never_touches_what_a_worker_holds(store: Store) -> None:
    held, given_back = store.declare(asked(), asked())
    [(token, lane), _] = store.take().values()
    store.settle(token, (given_back, lane, Released(counted=True)))
    store.now += 1e6
    for status in (PENDING, COMPLETED, FAILED):
        store.purge(status, float("inf"))
    assert store.newest() == [held]
    store.settle(token, (held, lane, Completed(START, START, None)))
    assert store.one(held).status is COMPLETED


def test_purging_processing_jobs_is_refused_by_the_repository_too(store: Store) -> None:
    store.declare()
    store.take()
    before = store.everything()
    with pytest.raises(ValueError, match="cannot be purged"):
        store.repository.purge(PROCESSING, float("inf"))
    assert store.everything() == before


def test_purging_works_across_slices_and_stops_at_the_most(store: Store) -> None:
    count = 2 * MANY + 3
    store.declare(*[asked(LANES[n % 2]) for n in range(count)])
    assert store.purge(PENDING, float("inf"), 0) == 0
    assert store.purge(PENDING, float("inf"), 1) == 1
    assert store.purge(PENDING, float("inf"), MANY) == MANY
    assert store.purge(PENDING, float("inf")) == count - MANY - 1
    assert store.newest() == []


def test_purging_in_pieces_takes_the_oldest_first(store: Store) -> None:
    ids = store.declare(asked(), asked(), asked())
    for id in reversed(ids):
        store.complete(id)
        store.now += 1
    assert store.purge(COMPLETED, store.now, 1) == 1
    assert store.newest() == [2, 1]


def test_a_queue_that_was_emptied_can_be_used_again_by_a_connection_that_knew_it(
    store: Store,
) -> None:
    other = open_store(store.path)
    store.declare()
    assert other.purge(PENDING, float("inf")) == 1
    other.close()
    assert list(store.take()) == []
    [id] = store.declare()
    assert list(store.take()) == [id]
