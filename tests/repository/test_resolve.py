"""Declarations that wait for an outside party, and those that ask for a later attempt."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from prokerja.errors import BadOption, NotAwaiting, NotFound, RequestError
from prokerja.lifecycle import MAX_LATER
from prokerja.model.claim import Extra
from prokerja.model.declaration import Lane
from prokerja.model.record import Awaiting, Filter
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Advice, Completed, Failed, Parked, Postponed, Released
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, START, Store, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed
    from prokerja.model.declaration import Declaration, Status
    from prokerja.verdicts import Ended, Verdict

SECRET = "s3cret"


def settle(store: Store, verdict: Verdict) -> int:
    """Claim the one that is due, and say what came of it; its id."""
    [(id, (token, lane))] = store.take().items()
    store.settle(token, (id, lane, verdict))
    return id


def park(store: Store, request: Declaration | None = None, timeout: float | None = None) -> int:
    """A declaration that waits."""
    store.declare(request or asked())
    return settle(store, Parked(store.now - 1, store.now, timeout, SECRET))


def resolve(store: Store, id: int, answer: str = "7", token: str | None = None) -> None:
    store.repository.resolve(id, answer, token, store.now)


def given(store: Store) -> dict[int, Extra]:
    """Claim what is due; what each is given."""

    def assign(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        return list(offered), False

    extras = store.turn(Want(Taking(), assign)).extras
    return {id: extra for (_, id), extra in extras.items()}


def awaiting(store: Store) -> int:
    return store.repository.summary(None, store.now).total.awaiting


def error_of(store: Store, id: int) -> tuple[Status, int, str | None]:
    record = store.one(id)
    return record.status, record.attempts, record.error


def test_it_is_processing_and_in_nobodys_hands(store: Store) -> None:
    id = park(store, timeout=60)
    record = store.one(id)
    assert (record.status, record.attempts) == (PROCESSING, 0)
    assert record.awaiting == Awaiting(START, START + 60)
    assert record.started_at == START - 1
    assert store.counts() == [0, 1, 0, 0]
    assert awaiting(store) == 1
    assert store.newest(PROCESSING) == [id]
    assert store.newest(PENDING) == []
    assert store.repository.running(None, 10) == []
    assert store.recover() == 0
    assert store.one(id).status is PROCESSING
    assert store.take() == {}
    with pytest.raises(RequestError, match="has not failed"):
        store.repository.retry([id], store.now)
    detail = store.repository.find(id, store.now)
    assert detail is not None
    assert detail.why == f"it waits to be resolved; `prokerja resolve {id}` does that"
    assert SECRET not in repr(detail)


def test_one_that_is_resolved_is_due_and_its_attempt_is_given_the_answer(store: Store) -> None:
    id = park(store)
    store.now += 5
    resolve(store, id, '{"paid": true}')
    record = store.one(id)
    assert (record.status, record.due_at, record.awaiting) == (PENDING, START + 5, None)
    assert (store.counts(), awaiting(store)) == ([1, 0, 0, 0], 0)
    assert given(store) == {id: Extra(answer='{"paid": true}', token=SECRET)}


def test_its_answer_is_kept_until_an_attempt_has_ended_with_it(store: Store) -> None:
    id = park(store, asked(retries=5, retry_after=0))
    resolve(store, id)
    for verdict in (
        Released(counted=True),
        Released(counted=False),
        Postponed(START, START, 0.0),
    ):
        settle(store, verdict)
        assert given(store) == {id: Extra(answer="7", token=SECRET)}
        store.recover()
    [(token, _)] = store.take().values()
    store.begin(token, id)
    store.recover()
    assert store.one(id).attempts == 1
    assert given(store) == {id: Extra(answer="7", token=SECRET)}, "its worker died"


@pytest.mark.parametrize(
    "verdict",
    [Failed(START, START, "no"), Parked(START, START), Completed(START, START)],
)
def test_an_answer_is_used_once(store: Store, verdict: Verdict) -> None:
    id = park(store, asked(retries=5, retry_after=0))
    resolve(store, id)
    settle(store, verdict)
    if isinstance(verdict, Parked):
        resolve(store, id, "8")
        assert given(store) == {id: Extra(answer="8")}
    elif isinstance(verdict, Failed):
        assert given(store) == {}
        assert store.one(id).status is PROCESSING, "it is tried again"
    store.declare()
    assert given(store) == {}


def test_an_answer_does_not_outlast_a_fresh_start(store: Store) -> None:
    id = park(store)
    resolve(store, id)
    store.repository.cancel([id], "cancelled", store.now)
    store.repository.retry([id], store.now)
    assert given(store) == {}
    assert store.one(id).status is PROCESSING


def test_a_purged_one_takes_its_answer_with_it(store: Store) -> None:
    id = park(store)
    resolve(store, id)
    assert store.purge(PENDING, START + 1) == 1
    assert store.purge(COMPLETED, START + 1) == 0
    with pytest.raises(NotFound, match=f"job {id} has been purged"):
        resolve(store, id)


def test_a_token_that_is_given_has_to_be_its_own(store: Store) -> None:
    id = park(store)
    before = store.everything()
    for wrong in ("", "s3cre", "S3cret", "\udcff", "geheim \u00f6"):
        with pytest.raises(BadOption, match=f"job {id}: the token is wrong"):
            resolve(store, id, token=wrong)
    assert store.everything() == before
    resolve(store, id, token=SECRET)
    assert store.one(id).status is PENDING


def test_no_token_fits_one_that_has_none(store: Store) -> None:
    store.declare()
    id = settle(store, Parked(START, START))
    for wrong in ("", "None"):
        with pytest.raises(BadOption, match="the token is wrong"):
            resolve(store, id, token=wrong)
    resolve(store, id)


def test_what_does_not_wait_says_how_it_stands(store: Store) -> None:
    def refused(id: int) -> str:
        with pytest.raises(NotAwaiting, match=f"job {id} is not awaiting but") as caught:
            resolve(store, id, token="whatever")
        return caught.value.status

    parked = park(store)
    resolve(store, parked)
    assert refused(parked) == PENDING
    [(token, lane)] = store.take().values()
    assert refused(parked) == PROCESSING
    store.settle(token, (parked, lane, Completed(START, START)))
    assert refused(parked) == COMPLETED
    store.declare()
    assert refused(settle(store, Failed(START, START, "no"))) == FAILED
    for missing in (99, 0, -1, 2**70):
        with pytest.raises(NotFound, match=f"there is no job {missing}"):
            resolve(store, missing)


def test_one_that_nobody_resolves_in_time_has_used_an_attempt(store: Store) -> None:
    id = park(store, asked(retries=1, retry_after=10.0), timeout=300)
    other = park(store, timeout=7200)
    want = Want(Taking(()), lambda _: ([], True))
    assert store.turn(want).deadline == START + 300
    store.now += 299
    assert store.turn(want).failed == []
    store.now += 1
    turn = store.turn(want)
    [failed] = turn.failed
    assert (failed.id, failed.number) == (id, 1)
    assert failed.error == "nobody resolved it within 5m"
    assert failed.retry_at == store.now + 10
    assert turn.names[failed.lane] == store.one(id).lane.name
    assert turn.deadline == START + 7200
    assert store.one(id).status is PENDING
    [attempt] = store.attempts(id)
    assert (attempt.started_at, attempt.finished_at) == (START - 1, START + 300)
    assert (store.counts(), awaiting(store)) == ([1, 1, 0, 0], 1)
    assert error_of(store, other) == (PROCESSING, 0, None)


def test_it_fails_in_time_though_the_worker_takes_none_of_its_kind_or_is_full(
    store: Store,
) -> None:
    id = park(store, asked(Lane("mail", "send", 5)), timeout=0.5)
    store.now += 1
    turn = store.repository.turn(store.worker, {}, (), None, store.now)
    assert [one.id for one in turn.failed] == [id]
    assert turn.deadline is None
    assert error_of(store, id) == (FAILED, 1, "nobody resolved it within 0.5s")


def test_a_worker_that_leaves_ends_nothing(store: Store) -> None:
    id = park(store, timeout=1)
    store.now += 2
    turn = store.repository.turn(store.worker, {}, (), None, store.now, leaving=True)
    assert (turn.failed, turn.deadline) == ([], None)
    assert store.one(id).status is PROCESSING


def test_many_that_nobody_resolves_fail_in_slices(store: Store) -> None:
    ids = store.declare(*[asked()] * 1200)
    for id, (token, lane) in store.take().items():
        store.settle(token, (id, lane, Parked(START, START, 1.0)))
    assert awaiting(store) == len(ids)
    store.now += 2
    turns = 0
    while store.repository.turn(store.worker, {}, (), None, store.now).deadline is not None:
        turns += 1
    assert turns == 2
    assert store.counts() == [0, 0, 0, len(ids)]


def test_it_is_cancelled_at_once(store: Store) -> None:
    one = park(store, asked(retries=3))
    other, third = park(store, asked(label="x")), park(store, asked(Lane("mail", "send", 0)))
    store.now += 2
    assert store.repository.cancel([one], "cancelled", store.now) == 0
    assert error_of(store, one) == (FAILED, 1, "cancelled")
    [attempt] = store.attempts(one)
    assert (attempt.started_at, attempt.finished_at) == (START - 1, START + 2)
    assert store.repository.cancel_matching(Filter(label="x"), "no", store.now) == (1, 0)
    assert error_of(store, other) == (FAILED, 1, "no")
    assert store.repository.cancel_matching(Filter(queue="mail"), "no", store.now) == (1, 0)
    assert error_of(store, third) == (FAILED, 1, "no")
    assert (store.counts(), awaiting(store)) == ([0, 0, 0, 3], 0)


def test_what_has_begun_does_not_expire(store: Store) -> None:
    for verdict in (Parked(START, START), Postponed(START, START, 9.0)):
        store.declare(asked(expires_at=START + 5))
        settle(store, verdict)
    waiting, later = 1, 2
    resolve(store, waiting)
    store.now += 9
    assert store.repository.turn(store.worker, {}, (), None, store.now).failed == []
    assert store.take().keys() == {waiting, later}


def test_others_wait_for_it_and_see_it_processing(store: Store) -> None:
    parent = park(store, asked(batch="b"), timeout=5)
    [child] = store.declare(asked(after=(parent,)))
    detail = store.repository.find(child, store.now)
    assert detail is not None
    assert detail.parents[0].status is PROCESSING
    total = store.repository.summary(None, store.now, "b").total
    assert (total.processing, total.awaiting) == (1, 1)
    store.now += 5
    store.repository.turn(store.worker, {}, (), None, store.now)
    assert store.one(child).error == f"job {parent}, which it waited for, failed"


def test_one_that_has_its_answer_is_not_replaced(store: Store) -> None:
    id = park(store, asked(payload='{"n": 1}', coalesce="k", replace=True))
    newer = asked(payload='{"n": 2}', coalesce="k", replace=True)
    assert store.declare(newer) == [id]
    resolve(store, id)
    assert store.declare(newer) == [id]
    assert store.one(id).payload == '{"n": 1}'


@pytest.mark.parametrize("verdict", [Parked(START, START), Postponed(START, START, 1.0)])
def test_one_that_was_cancelled_as_it_ran_neither_waits_nor_runs_later(
    store: Store, verdict: Verdict
) -> None:
    [id] = store.declare(asked(retries=3))
    [(token, lane)] = store.take().values()
    store.repository.cancel([id], "cancelled", store.now)
    [failed] = store.settle(token, (id, lane, verdict))
    assert (failed.error, failed.retry_at) == ("cancelled", None)
    assert error_of(store, id) == (FAILED, 1, "cancelled")
    assert awaiting(store) == 0


def test_a_dead_workers_journal_is_settled(store: Store) -> None:
    one, other = store.declare(asked(), asked())
    taken = store.take()
    verdicts: dict[int, Ended] = {
        one: Parked(START, START, None, SECRET),
        other: Postponed(START, START, 60.0),
    }
    ended = {(taken[id][0], id): verdict for id, verdict in verdicts.items()}
    [recovered] = store.repository.recover([store.worker], {store.worker: ended}, store.now)
    store.worker = store.join()
    assert recovered.returned == 0
    assert store.one(one).awaiting == Awaiting(START, None)
    assert (store.one(other).status, store.one(other).due_at) == (PENDING, START + 60)
    resolve(store, one, token=SECRET)


def test_a_late_workers_verdict_parks_nothing(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    store.recover()
    before = store.everything()
    for verdict in (Parked(START, START), Postponed(START, START, 1.0)):
        assert store.settle(token, (id, lane, verdict)) == []
    assert store.everything() == before


def test_a_later_attempt_uses_none_and_may_be_asked_for_a_thousand_times(store: Store) -> None:
    [id] = store.declare(asked(retries=3))
    for seconds in itertools.chain([30.0], itertools.repeat(0.0, MAX_LATER - 1)):
        settle(store, Postponed(store.now, store.now, seconds))
        assert store.one(id).due_at == store.now + seconds
        assert error_of(store, id) == (PENDING, 0, None)
        store.now += seconds
    [(token, lane)] = store.take().values()
    [failed] = store.settle(token, (id, lane, Postponed(store.now - 1, store.now, 0.0)))
    why = "asked to run later once more, after 1,000 times without an attempt"
    assert (failed.error, failed.retry_at) == (why, None)
    assert error_of(store, id) == (FAILED, 1, why)
    store.repository.retry([id], store.now)
    settle(store, Postponed(store.now, store.now, 0.0))
    assert store.one(id).status is PENDING, "after a fresh start, it counts anew"


def test_commands_that_ask_for_a_later_attempt_keep_to_their_own_limit(store: Store) -> None:
    [id] = store.declare(asked(retry_after=0))
    for number in range(1, 102):
        settle(store, Failed(store.now, store.now, "busy", advice=Advice.LATER))
        assert store.one(id).status is (PENDING if number <= 100 else FAILED)
