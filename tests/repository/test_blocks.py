"""Declarations that wait for more than their time: a release, others, a batch."""

from __future__ import annotations

from typing import Any

import pytest

from prokerja.errors import NotFound, RequestError
from prokerja.model.claim import Extra
from prokerja.model.declaration import Lane
from prokerja.model.record import Parent
from prokerja.model.result import MAX_GIVEN_BYTES, MAX_RESULT_BYTES
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed
from tests.repository.harness import (
    COMPLETED,
    FAILED,
    MANY,
    PENDING,
    PROCESSING,
    START,
    Store,
    asked,
)


def why(store: Store, id: int) -> str | None:
    detail = store.repository.find(id, store.now)
    assert detail is not None
    return detail.why


def extras(store: Store) -> dict[int, Extra]:
    """What is given to those that are claimed now."""
    turn = store.turn(Want(Taking(), lambda offered: (list(offered), False)))
    return {id: extra for (_, id), extra in turn.extras.items()}


def test_what_is_held_runs_once_it_is_released(store: Store) -> None:
    held, other = store.declare(asked(hold=True), asked())
    assert store.take().keys() == {other}
    assert store.counts()[0] == 1
    assert why(store, held) == f"it is held; `prokerja release {held}` lets it run"
    store.repository.release([held])
    assert store.take().keys() == {held}


def test_what_is_pending_can_be_held_and_nothing_else(store: Store) -> None:
    one, later, taken = store.declare(asked(), asked(due_at=START + 9), asked())
    store.repository.hold([one, later])
    assert store.take().keys() == {taken}
    with pytest.raises(RequestError, match=f"job {taken} is not pending"):
        store.repository.hold([later, taken])
    with pytest.raises(NotFound):
        store.repository.hold([99])
    with pytest.raises(RequestError, match=f"job {taken} is not held"):
        store.repository.release([one, taken])
    assert store.take() == {}, "all or none"
    store.repository.release([one, later])
    store.now += 9
    assert store.take().keys() == {one, later}


def test_a_child_runs_when_its_parents_have_completed_and_is_given_their_results(
    store: Store,
) -> None:
    first, second = store.declare(asked(), asked())
    [child] = store.declare(asked(after=(second, first)))
    store.complete(first, result="[1]")
    assert why(store, child) == f"it waits for job {second}, which is pending"
    store.complete(second)
    store.now += 1
    assert extras(store) == {child: Extra(parents={first: "[1]", second: None})}
    detail = store.repository.find(child, store.now)
    assert detail is not None
    assert detail.parents == [Parent(id, COMPLETED, met=True) for id in (first, second)]


def test_parents_that_have_ended_are_not_waited_for(store: Store) -> None:
    done, failed = store.declare(asked(), asked())
    store.complete(done)
    store.fail(failed)
    [child] = store.declare(asked(after=(done,)))
    [forgiving] = store.declare(asked(after=(done, failed), if_parent_fails="run"))
    [patient] = store.declare(asked(after=(failed,), if_parent_fails="wait"))
    [strict] = store.declare(asked(after=(done, failed)))
    assert store.one(strict).status is FAILED
    assert store.one(strict).error == f"job {failed}, which it waited for, failed"
    assert store.take().keys() == {child, forgiving}
    assert str(why(store, patient)).startswith(f"it waits for job {failed}, which has failed; ")


@pytest.mark.parametrize(
    ("if_parent_fails", "status"), [("cancel", FAILED), ("run", PENDING), ("wait", PENDING)]
)
@pytest.mark.parametrize("end", ["fail", "cancel", "purge"])
def test_what_a_failed_parent_means_is_said_when_declaring(
    store: Store, if_parent_fails: str, status: str, end: str
) -> None:
    [parent] = store.declare()
    [child] = store.declare(asked(after=(parent,), if_parent_fails=if_parent_fails))
    [grandchild] = store.declare(asked(after=(child,)))
    if end == "fail":
        store.fail(parent)
    elif end == "cancel":
        store.repository.cancel([parent], "cancelled", store.now)
    else:
        store.repository.change([child, grandchild], later(), store.now)
        store.purge(PENDING, store.now + 1)
    if end == "purge" and if_parent_fails == "wait":
        status = FAILED  # for what could it wait?
    assert store.one(child).status == status
    ended = "was purged" if end == "purge" else "failed"
    if status is FAILED:
        assert store.one(child).error == f"job {parent}, which it waited for, {ended}"
        assert store.one(grandchild).error == f"job {child}, which it waited for, failed"
    store.now += 100
    assert (child in store.take()) == (if_parent_fails == "run")


def later() -> Any:
    from prokerja.model.change import Change

    return Change(due_at=START + 50)


def test_a_parent_that_is_tried_again_and_completes_lets_its_patient_child_run(
    store: Store,
) -> None:
    [parent] = store.declare()
    [child] = store.declare(asked(after=(parent,), if_parent_fails="wait"))
    store.fail(parent)
    store.repository.retry([parent], store.now)
    store.complete(parent)
    assert store.take().keys() == {child}


@pytest.mark.parametrize("order", ["parent first", "child first", "all"])
def test_a_child_that_failed_with_its_parent_waits_for_it_again(store: Store, order: str) -> None:
    [parent] = store.declare()
    [child] = store.declare(asked(after=(parent,)))
    store.fail(parent)
    assert store.one(child).status is FAILED
    if order == "all":
        assert store.repository.retry_failed(None, None, store.now) == 2
    else:
        for id in (parent, child) if order == "parent first" else (child, parent):
            store.repository.retry([id], store.now)
    assert store.take().keys() == {parent}
    store.recover()
    store.complete(parent)
    assert store.take().keys() == {child}


def test_a_parent_that_was_purged_counts_as_what_it_was(store: Store) -> None:
    parent, other = store.declare(asked(), asked(due_at=START + 60))
    [child] = store.declare(asked(after=(parent, other)))
    store.complete(parent)
    store.purge(COMPLETED, store.now + 1)
    store.now += 60
    store.complete(other)
    assert extras(store) == {child: Extra(parents={parent: None, other: None})}


@pytest.mark.parametrize("ids", [(99,), (1, 99), (2,), (3,)])
def test_what_is_not_there_cannot_be_waited_for(store: Store, ids: tuple[int, ...]) -> None:
    store.declare()
    before = store.everything()
    missing = ids[-1]
    with pytest.raises(RequestError, match=rf"^there is no job {missing} to wait for"):
        store.declare(asked(after=ids))
    with pytest.raises(RequestError, match="there is no batch 'x' to wait for"):
        store.declare(asked(after_batch="x"))
    assert store.everything() == before


def test_a_follow_up_whose_parent_is_not_there_fails_and_takes_nothing_with_it(
    store: Store,
) -> None:
    [parent] = store.declare()
    [(token, lane)] = store.take().values()
    follow_ups = (asked(after=(99,)), asked(after=(parent,)), asked(after_batch="x"))
    done = Completed(store.now, store.now, "1", follow_ups)
    store.settle(token, (parent, lane, done))
    assert store.one(parent).status is COMPLETED
    lost, child, free = sorted(set(store.newest()) - {parent})
    assert store.one(lost).error == "job 99, which it was to wait for, is not there"
    assert store.take().keys() == {child, free}


def test_a_chain_runs_in_its_order(store: Store) -> None:
    ids = store.declare()
    for _ in range(MANY):
        ids += store.declare(asked(after=(ids[-1],)))
    for id in ids:
        assert store.take(1).keys() == {id}
        store.repository.recover([store.worker], {}, store.now)
        store.worker = store.join()
        store.complete(id)
    assert store.counts() == [0, 0, len(ids), 0]


def test_a_chain_fails_to_its_end(store: Store) -> None:
    ids = store.declare()
    for _ in range(MANY):
        ids += store.declare(asked(after=(ids[-1],)))
    store.fail(ids[0])
    assert store.counts() == [0, 0, 0, len(ids)]
    assert store.one(ids[-1]).error == f"job {ids[-2]}, which it waited for, failed"


def test_one_may_wait_for_thousands(store: Store) -> None:
    parents = store.declare(*[asked()] * (3 * MANY))
    [child] = store.declare(asked(after=tuple(parents)))
    store.complete(*parents[1:])
    assert child not in store.take()
    store.recover()
    store.complete(parents[0])
    assert len(extras(store)[child].parents or ()) == len(parents)


def test_of_very_much_a_child_is_given_the_results_that_fit(store: Store) -> None:
    result = f'"{"x" * (MAX_RESULT_BYTES - 2)}"'
    fitting = MAX_GIVEN_BYTES // MAX_RESULT_BYTES
    parents = store.declare(*[asked()] * (fitting + 2))
    [all_of_them] = store.declare(asked(after=tuple(parents)))
    [last_two] = store.declare(asked(after=tuple(parents[-2:])))
    store.complete(*parents, result=result)
    found = extras(store)
    given = found[all_of_them].parents or {}
    assert list(given.values()) == [*[result] * fitting, None, None]
    assert found[last_two].parents == dict.fromkeys(parents[-2:], result)


def test_what_follows_a_batch_runs_when_none_of_it_is_open_and_is_told_how_many(
    store: Store,
) -> None:
    first, second, third = store.declare(*[asked(batch="b")] * 3)
    last, other = store.declare(asked(after_batch="b"), asked(after_batch="b", batch="b"))
    store.complete(first)
    store.fail(second)
    assert why(store, last) == "it waits until no job of the batch 'b' is open"
    assert store.counts()[0] == 3
    store.repository.cancel([third], "cancelled", store.now)
    given = Extra(counts={"completed": 1, "failed": 2})
    assert extras(store) == {last: given, other: given}


def test_a_batch_whose_last_is_purged_has_ended(store: Store) -> None:
    [one] = store.declare(asked(batch="b"))
    [last] = store.declare(asked(after_batch="b", due_at=START + 50))
    store.purge(PENDING, START + 1)
    assert store.newest() == [last], one
    store.now += 50
    assert store.take().keys() == {last}


def test_a_batch_is_counted_listed_and_cancelled(store: Store) -> None:
    ids = store.declare(asked(batch="b"), asked(batch="b"), asked(batch="c"), asked(batch="b"))
    store.complete(ids[0])
    taken = store.take(1)
    tally = store.repository.summary(None, store.now, "b").total
    assert list(tally.counts().values()) == [1, 1, 1, 0]
    assert list(taken) == [ids[1]]
    from prokerja.model.record import Filter

    wanted = Filter(batch="b")
    assert [one.id for one in store.repository.newest(wanted, 9)] == [ids[3], ids[1], ids[0]]
    assert store.repository.cancel_matching(wanted, "cancelled", store.now) == (2, 1)
    assert [store.one(id).status for id in ids] == [COMPLETED, PROCESSING, PENDING, FAILED]
    with pytest.raises(NotFound, match="there is no batch 'nope'"):
        store.repository.summary(None, store.now, "nope")


def test_what_is_blocked_can_be_cancelled_purged_and_listed(store: Store) -> None:
    ids = store.declare(*[asked(hold=True, label="x")] * 3)
    assert store.newest(PENDING) == ids[::-1]
    store.repository.cancel(ids[:1], "cancelled", store.now)
    from prokerja.model.record import Filter

    assert store.repository.cancel_matching(Filter(label="x"), "no", store.now) == (2, 0)
    assert store.counts() == [0, 0, 0, 3]
    store.declare(asked(hold=True))
    assert store.repository.cancel_matching(Filter(), "no", store.now) == (1, 0)
    store.declare(asked(hold=True))
    assert store.purge(PENDING, store.now + 1) == 1
    assert store.counts() == [0, 0, 0, 4]
    with pytest.raises(RequestError, match="is not held"):
        store.repository.release(ids)


def test_a_job_that_leaves_its_batch_may_be_the_last_that_was_open(store: Store) -> None:
    from prokerja.model.change import Change

    [one] = store.declare(asked(batch="b", hold=True))
    [last] = store.declare(asked(after_batch="b"))
    store.repository.change([one], Change(columns={"batch": None}), store.now)
    assert store.take().keys() == {last}


def test_a_follow_up_belongs_to_the_batch_before_that_has_ended(store: Store) -> None:
    [one] = store.declare(asked(batch="b"))
    [last] = store.declare(asked(after_batch="b"))
    [(token, lane)] = store.take().values()
    done = Completed(store.now, store.now, None, (asked(batch="b", coalesce="k"),))
    store.settle(token, (one, lane, done))
    [more] = store.take().keys()
    assert more > last
    store.recover()
    store.complete(more)
    assert extras(store) == {last: Extra(counts={"completed": 2, "failed": 0})}


def test_the_name_of_a_batch_may_be_used_again(store: Store) -> None:
    for _ in range(2):
        done, lost = store.declare(asked(batch="b"), asked(batch="b"))
        last = store.declare(asked(after_batch="b"), asked(after_batch="b"))
        store.complete(done)
        store.fail(lost)
        assert extras(store) == {id: Extra(counts={"completed": 1, "failed": 1}) for id in last}


@pytest.mark.parametrize("if_parent_fails", ["cancel", "wait"])
def test_a_failed_parent_that_is_purged_is_waited_for_no_more(
    store: Store, if_parent_fails: str
) -> None:
    [parent] = store.declare()
    [child] = store.declare(asked(after=(parent,), if_parent_fails=if_parent_fails))
    store.fail(parent)
    if if_parent_fails == "cancel":
        store.repository.retry([child], store.now)
    assert store.one(child).status is PENDING
    store.now += 1
    store.purge(FAILED, store.now)
    assert store.one(child).error == f"job {parent}, which it waited for, was purged"


def test_the_same_parent_twice_is_one(store: Store) -> None:
    [one] = store.declare()
    [(token, lane)] = store.take().values()
    follow_up = asked(after=(one, one))
    store.settle(token, (one, lane, Completed(store.now, store.now, None, (follow_up,))))
    assert len(store.take()) == 1


def test_what_an_older_program_has_ended_is_followed_all_the_same(store: Store) -> None:
    database = inside(store).database
    parent, member, keyed = store.declare(asked(), asked(batch="b"), asked(coalesce="k"))
    [child] = store.declare(asked(after=(parent,)))
    [last] = store.declare(asked(after_batch="b"))
    taken = store.take()
    with database.writing():  # as a program of schema 5 does
        for id in (parent, member, keyed):
            database.execute("UPDATE declaration SET status = 1 WHERE id = ?", (id,))
            lane = taken[id][1]
            database.execute(
                "UPDATE lane SET processing = processing - 1, completed = completed + 1"
                " WHERE id = ?",
                (lane,),
            )
        database.execute("DELETE FROM claim")
    store.repository.mend(store.now)
    assert store.take().keys() == {child, last}
    assert store.declare(asked(coalesce="k")) != [keyed]


def inside(store: Store) -> SQLiteRepository:
    assert isinstance(store.repository, SQLiteRepository)
    return store.repository


def test_what_was_held_when_it_failed_is_held_again(store: Store) -> None:
    [parent] = store.declare()
    [child] = store.declare(asked(after=(parent,), hold=True))
    store.fail(parent)
    assert store.repository.retry_failed(None, None, store.now) == 2
    store.complete(parent)
    assert store.take() == {}
    store.repository.release([child])
    assert store.take().keys() == {child}


def test_a_chain_that_waits_is_purged_to_its_end(store: Store) -> None:
    ids = store.declare(asked(hold=True))
    for _ in range(MANY):
        ids += store.declare(asked(after=(ids[-1],)))
    store.now += 1
    assert store.purge(PENDING, store.now) == len(ids)
    assert store.counts() == [0, 0, 0, 0]


def test_what_is_to_be_counted_is_not_purged_before(store: Store) -> None:
    done, lost, _ = store.declare(*[asked(batch="b")] * 2, asked(batch="b", due_at=START + 9))
    [last] = store.declare(asked(after_batch="b"))
    store.complete(done)
    store.fail(lost)
    store.now += 9
    assert [store.purge(status, store.now) for status in (COMPLETED, FAILED)] == [0, 0]
    store.complete(*store.newest(PENDING))
    assert extras(store) == {last: Extra(counts={"completed": 2, "failed": 1})}


def test_one_that_waited_for_what_is_gone_fails_again(store: Store) -> None:
    [parent] = store.declare(asked(Lane("mail", "noop", 0)))
    [child] = store.declare(asked(after=(parent,)))
    store.fail(parent)
    store.repository.purge(FAILED, store.now + 1, "mail")
    with pytest.raises(NotFound, match=f"job {parent} has been purged"):
        store.repository.find(parent, store.now)
    store.repository.retry([child], store.now)
    assert store.one(child).error == f"job {parent}, which it waited for, was purged"


def test_hundreds_that_waited_for_what_is_gone_fail_again_once(store: Store) -> None:
    [parent] = store.declare(asked(Lane("mail", "noop", 0)))
    children = store.declare(*[asked(after=(parent,))] * MANY)
    store.fail(parent)
    store.repository.purge(FAILED, store.now + 1, "mail")
    assert store.repository.retry_failed(None, None, store.now) == MANY
    assert [store.one(id).attempts for id in children[:2]] == [2, 2]
