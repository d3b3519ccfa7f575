"""Pauses, limits and rates of queues, as the store keeps them and claims by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prokerja.errors import NotPaused
from prokerja.model.flow import QueueRule, Rate
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Failed, Parked
from tests.repository.harness import LANES, PENDING, START, Store, asked

if TYPE_CHECKING:
    from prokerja.model.declaration import Declaration

MAIL, DEFAULT = (next(lane for lane in LANES if lane.queue == q) for q in ("mail", "default"))


def mail(due_at: float = 0.0) -> Declaration:
    return asked(MAIL, due_at=due_at, retries=3, retry_after=0)


def pause(
    store: Store, queue: str, until: float | None = None, why: str | None = None
) -> QueueRule | None:
    return store.repository.pause_queue(queue, store.now, "ann", why, until)[1]


def next_due(store: Store, *queues: str) -> float | None:
    """When a worker without anything to do looks again."""
    return store.turn(Want(Taking(queues, None), lambda offered: ([*offered], False))).next_due


def test_of_a_paused_queue_nothing_is_claimed_until_it_is_resumed(store: Store) -> None:
    [first] = store.declare(mail())
    [other] = store.declare(asked(DEFAULT))
    assert pause(store, "mail", why="full") is None
    [second] = store.declare(mail())
    assert list(store.take()) == [other]
    assert store.one(first).status is PENDING
    ended = store.repository.resume_queue("mail", store.now)
    assert ended == QueueRule("mail", None, None, START, "ann", "full")
    assert list(store.take()) == [first, second]


def test_a_pause_of_all_holds_for_queues_yet_to_come(store: Store) -> None:
    pause(store, "")
    ids = store.declare(mail(), asked(DEFAULT))
    assert store.take() == {}
    store.repository.resume_queue("", store.now)
    assert set(store.take()) == set(ids)


def test_a_queue_paused_by_its_name_stays_so_when_all_are_resumed(store: Store) -> None:
    pause(store, "mail")
    pause(store, "")
    [first], [other] = store.declare(mail()), store.declare(asked(DEFAULT))
    store.repository.resume_queue("", store.now)
    assert list(store.take()) == [other]
    store.repository.resume_queue("mail", store.now)
    assert list(store.take()) == [first]


@pytest.mark.parametrize("queue", ["mail", ""])
def test_a_pause_ends_by_itself_and_leaves_nothing(store: Store, queue: str) -> None:
    pause(store, queue, START + 60)
    [id] = store.declare(mail())
    assert next_due(store) == START + 60
    store.now = START + 59.999
    assert store.take() == {}
    store.now = START + 60
    assert list(store.take()) == [id]
    assert store.repository.queue_rules() == []


def test_of_two_pauses_the_longer_counts(store: Store) -> None:
    pause(store, "mail", START + 60)
    pause(store, "", START + 30)
    store.declare(mail())
    assert next_due(store) == START + 60
    pause(store, "", None)
    assert next_due(store) is None
    store.now = START + 61
    assert store.take() == {}


def test_a_worker_wakes_for_no_pause_of_queues_that_it_does_not_take_or_that_are_empty(
    store: Store,
) -> None:
    pause(store, "mail", START + 60)
    assert next_due(store) is None
    store.declare(mail())
    assert next_due(store, "default") is None
    store.declare(asked(DEFAULT, due_at=START + 5))
    assert next_due(store) == START + 5


def test_what_was_claimed_goes_on_and_comes_back_to_the_paused_queue(store: Store) -> None:
    ids = store.declare(mail(), mail(), mail())
    claims = store.take()
    store.begin(claims[ids[1]][0], ids[1])
    pause(store, "mail")
    (token, lane), (failed_token, _) = claims[ids[0]], claims[ids[1]]
    store.settle(token, (ids[0], lane, Completed(START, START)))
    assert store.one(ids[0]).finished_at == START
    [attempt] = store.settle(failed_token, (ids[1], lane, Failed(START, START, "no")))
    assert attempt.retry_at is not None
    store.recover()
    store.now += 3600
    assert store.take() == {}
    store.repository.resume_queue("mail", store.now)
    assert set(store.take()) == set(ids[1:])


def test_what_waits_to_be_resolved_can_be_and_then_waits_for_its_queue(store: Store) -> None:
    [id] = store.declare(mail())
    [(token, lane)] = store.take().values()
    store.settle(token, (id, lane, Parked(START, START)))
    pause(store, "mail")
    store.repository.resolve(id, "1", None, store.now)
    assert store.take() == {}
    store.repository.resume_queue("mail", store.now)
    assert list(store.take()) == [id]


def test_a_second_pause_replaces_the_first(store: Store) -> None:
    assert pause(store, "mail", START + 60, "full") is None
    store.now += 1
    assert pause(store, "mail") == QueueRule("mail", None, None, START, "ann", "full", START + 60)
    assert store.repository.queue_rules() == [QueueRule("mail", None, None, START + 1, "ann")]
    pause(store, "mail", START + 60)
    store.now = START + 61
    assert pause(store, "mail") is None, "the first has ended by itself"


def test_what_is_not_paused_cannot_be_resumed(store: Store) -> None:
    def refusal(queue: str) -> str:
        with pytest.raises(NotPaused) as refused:
            store.repository.resume_queue(queue, store.now)
        return str(refused.value)

    assert refusal("mail") == "queue mail is not paused; `prokerja queue:list` shows what is"
    assert refusal("") == "no queue is paused"
    store.repository.limit_queue("mail", 2)
    assert refusal("mail").startswith("queue mail is not paused;")
    pause(store, "")
    assert "all queues are; `prokerja queue:resume --all` resumes them" in refusal("mail")
    store.repository.resume_queue("", store.now)
    pause(store, "mail", START + 5)
    assert "by their names mail; `prokerja queue:resume mail` resumes one" in refusal("")
    store.now = START + 5
    assert refusal("mail").startswith("queue mail is not paused;")


def test_limits_and_rates_are_kept_until_they_are_lifted_and_then_leave_nothing(
    store: Store,
) -> None:
    verbs = store.repository
    assert verbs.limit_queue("mail", 2) == QueueRule("mail", 2)
    assert verbs.rate_queue("mail", Rate(5, 30)) == QueueRule("mail", 2, Rate(5, 30))
    pause(store, "mail")
    assert verbs.limit_queue("mail", 3).max_running == 3
    verbs.resume_queue("mail", store.now)
    assert verbs.queue_rules() == [QueueRule("mail", 3, Rate(5, 30))]
    assert verbs.limit_queue("mail", None) == QueueRule("mail", None, Rate(5, 30))
    assert verbs.rate_queue("mail", None) == QueueRule("mail")
    assert verbs.queue_rules() == []


def test_what_pauses_the_queues_of_declarations_is_told_once(store: Store) -> None:
    ids = store.declare(mail(), asked(DEFAULT), mail())
    pauses = store.repository.pauses
    assert pauses(range(1, 4), store.now) == []
    pause(store, "mail", START + 60)
    [rule] = store.repository.queue_rules()
    for some in (range(1, 4), ids, [ids[0]], range(ids[2], ids[2] + 1)):
        assert pauses(some, store.now) == [rule]
    for none in ([ids[1]], range(ids[1], ids[1] + 1), [], range(0)):
        assert pauses(none, store.now) == []
    pause(store, "")
    assert [one.name for one in pauses(ids, store.now)] == [""]
    store.repository.resume_queue("", store.now)
    assert pauses(ids, START + 60) == []


def test_why_a_job_waits_names_the_pause_by_the_rule_of_the_claim(store: Store) -> None:
    [id] = store.declare(mail())
    store.declare(asked(DEFAULT))

    def why() -> str | None:
        return store.repository.find(id, store.now).why

    assert why() is not None
    pause(store, "mail", START + 60, "it's full")
    told = why()
    assert told is not None
    assert told.startswith("queue mail is paused by ann since 2030-03-17T17:46:40.000+00:00 (")
    assert '("it\'s full") until 2030-03-17T17:47:40.000+00:00; `prokerja queue:res' in told
    [condition] = [
        one
        for one in store.repository.conditions(id, store.now)
        if one.name == "its queue is not paused"
    ]
    assert (condition.holds, condition.detail) == (False, told)
    store.now = START + 60
    assert "paused" not in str(why())


def test_jobs_of_a_paused_queue_are_not_ahead_of_any(store: Store) -> None:
    store.declare(mail(), mail())
    [id] = store.declare(asked(DEFAULT))
    assert "behind 2 other jobs" in str(store.repository.find(id, store.now).why)
    pause(store, "mail")
    assert "behind" not in str(store.repository.find(id, store.now).why)
