"""Who is told of what: once for each event, whoever made it happen and whatever dies meanwhile."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.events import Declared, Expired
from prokerja.model.declaration import NOTIFY, SHELL, Conditions, Lane
from prokerja.model.worker import Taking
from prokerja.notices import MAX_LISTED, Rule
from prokerja.repository.verbs import Want
from prokerja.verdicts import Failed
from tests.repository.harness import COMPLETED, FAILED, NOOP, Store, asked, open_store, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model.claim import Claimed

TELL = Rule(("tell", "{id}"))
GATHER = Rule(("tell",), every=60.0)
NOTHING = Want(Taking(), lambda _: ([], True))


def join(store: Store, **rules: Rule) -> int:
    """Have one more worker, whose settings say this."""
    texts = [(kind, rule.to_json()) for kind, rule in rules.items()]
    membership = store.repository.join(os.getpid(), store.now, 1, Taking(), texts)
    store._members.append(membership)
    return membership.worker


def declare(store: Store, **options: Any) -> int:
    [id] = store.declare(asked(**options))
    return id


def told(store: Store) -> list[dict[str, Any]]:
    """What there are notices of, the first first, after a worker's turn."""
    store.turn(NOTHING)
    payloads = [
        json.loads(store.one(id).payload) for id in sorted(store.newest(None, NOTIFY, SHELL))
    ]
    return [json.loads(base64.b64decode(payload["data"])) for payload in payloads]


def commands(store: Store) -> list[list[str]]:
    store.turn(NOTHING)
    ids = sorted(store.newest(None, NOTIFY))
    return [json.loads(store.one(id).payload)["argv"] for id in ids]


def test_an_event_comes_before_the_notice_of_it(store: Store) -> None:
    join(store, failed=TELL)
    id = declare(store, expires_at=store.now + 1)
    before = store.repository.event_position(None)
    store.now += 2
    store.turn(NOTHING)
    happened = [(type(one), one.id) for one in store.repository.events(before, 10)]  # type: ignore[attr-defined]
    assert happened == [(Expired, id), (Declared, id + 1)]


def own(*command: str) -> str:
    return Rule(command).to_json()


def test_a_failure_is_told_of_once_with_its_facts_and_no_payload(store: Store) -> None:
    join(store, failed=TELL)
    id = declare(store, payload='{"secret": 1}', label="nightly", batch="b")
    store.fail(id, error="ValueError: no")
    assert told(store) == told(store)
    [event] = told(store)
    lane = store.one(id).lane
    assert event.pop("at").startswith("2030-03-17T17:46:40")
    assert event == {
        "notice": "failed", "count": 1, "id": id, "job": lane.name, "queue": lane.queue,
        "attempt": 1, "error": "ValueError: no", "label": "nightly", "batch": "b",
    }  # fmt: skip
    assert commands(store) == [["tell", str(id)]]


def test_only_what_has_failed_for_good_is_told_of(store: Store) -> None:
    join(store, failed=TELL)
    store.fail(declare(store, retries=1))
    assert told(store) == []


def test_nobody_is_told_who_has_not_asked(store: Store) -> None:
    join(store)
    id, other = store.declare(asked(), asked())
    store.fail(id)
    store.complete(other)
    join(store, failed=TELL, completed=TELL, worker_down=TELL)
    assert told(store) == []


def test_completions_are_told_of_if_that_is_asked_for(store: Store) -> None:
    join(store, completed=TELL)
    id, other = store.declare(asked(), asked())
    store.complete(id)
    store.fail(other)
    assert [(event["notice"], event["id"]) for event in told(store)] == [("completed", id)]


def test_the_payload_is_told_only_if_that_is_asked_for(store: Store) -> None:
    join(store, failed=TELL._replace(payload=True))
    store.fail(declare(store, payload='{"secret": 1}'))
    assert [event["payload"] for event in told(store)] == [{"secret": 1}]


def test_payloads_for_which_there_is_no_room_are_left_out(store: Store) -> None:
    join(store, failed=TELL._replace(payload=True))
    store.fail(declare(store, payload=json.dumps({"text": "x" * (2**20 - 20)})))
    store.fail(declare(store, payload='{"secret": 1}'))
    assert ["payload" in event for event in told(store)] == [False, True]


def expire(store: Store) -> list[int]:
    id = declare(store, expires_at=store.now + 1)
    store.now += 2
    store.turn(NOTHING)
    return [id]


def lose_parent(store: Store) -> list[int]:
    parent = declare(store)
    child = declare(store, after=(parent,))
    store.fail(parent)
    return [parent, child]


def meet_failed_parent(store: Store) -> list[int]:
    """Nobody works: the one who declares it writes that it has failed."""
    parent = declare(store)
    store.fail(parent)
    return [parent, declare(store, after=(parent,))]


def cancel_parent(store: Store) -> list[int]:
    parent = declare(store)
    child = declare(store, after=(parent,))
    store.repository.cancel([parent], "cancelled", store.now)
    return [child]


def die_too_often(store: Store) -> list[int]:
    id = declare(store)
    while store.one(id).status is not FAILED:
        [(token, _)] = store.take(1).values()
        store.begin(token, id)
        store.recover()
        join(store, failed=TELL)
    return [id]


@pytest.mark.parametrize(
    "happen", [expire, lose_parent, meet_failed_parent, cancel_parent, die_too_often]
)
def test_whatever_makes_a_job_fail_it_is_told_of(
    store: Store, happen: Callable[[Store], list[int]]
) -> None:
    join(store, failed=TELL)
    ids = happen(store)
    assert [event["id"] for event in told(store)] == ids
    assert [store.one(id).status for id in ids] == [FAILED] * len(ids)


def test_nobody_is_told_of_what_somebody_has_cancelled_or_purged(store: Store) -> None:
    join(store, failed=TELL)
    pending, running, raising, purged = store.declare(*(asked() for _ in range(4)))
    taken = store.take(3)
    claims = {id: taken[id] for id in (pending, running, raising)}
    store.repository.cancel([purged], "cancelled", store.now)
    store.repository.cancel(claims, "cancelled", store.now)
    token, lane = claims[raising]
    store.settle(token, (raising, lane, Failed(store.now, store.now, "ended")))
    store.recover()
    join(store, failed=TELL)
    store.purge(FAILED, store.now + 1)
    assert told(store) == []


def test_what_a_declaration_says_goes_before_its_class_and_the_settings_are_told_too(
    store: Store,
) -> None:
    join(store, failed=TELL)
    record(store, NOOP._replace(on_failure=("of", "class")), directory="/a")
    lane = Lane("default", "noop", 0, "/a")
    plain = declare(store, lane=lane)
    special = declare(store, lane=lane, on_failure=own("of", "its", "own", "{job}"))
    store.fail(plain, special)
    assert sorted(commands(store)) == [
        ["of", "class"], ["of", "its", "own", "noop"], ["tell", str(plain)], ["tell", str(special)],
    ]  # fmt: skip


@pytest.mark.parametrize(("directory", "is_told"), [("/a", True), ("/b", False), ("", True)])
def test_a_class_is_that_of_the_jobs_directory(store: Store, directory: str, is_told: bool) -> None:
    record(store, NOOP._replace(on_failure=("of", "class")), directory="/a")
    record(store, NOOP, directory="/b")
    store.fail(declare(store, lane=Lane("default", "noop", 0, directory)))
    assert commands(store) == [["of", "class"]] * is_told


def test_a_rule_is_remembered_for_each_end_of_a_declaration(store: Store) -> None:
    id = declare(store, on_failure=own("tell"))
    store.fail(id)
    store.repository.retry([id], store.now)
    store.fail(id)
    assert commands(store) == [["tell"]] * 2
    store.purge(FAILED, store.now + 1)
    assert store.newest(FAILED) == []


def test_a_notice_is_told_of_even_if_its_job_was_purged_before(store: Store) -> None:
    id = declare(store, on_failure=own("tell"))
    [(token, lane)] = store.take().values()
    failed = (id, lane, Failed(store.now, store.now, "no"))
    store.repository.turn(store.worker, {token: [failed]}, (), None, store.now, leaving=True)
    store.purge(FAILED, store.now + 1)
    assert [event["error"] for event in told(store)] == ["no"]


def test_nobody_is_told_of_notices(store: Store) -> None:
    join(store, failed=TELL, completed=TELL)
    lane = Lane(NOTIFY, SHELL, 0)
    store.fail(declare(store, lane=lane, on_failure=own("tell")))
    store.complete(declare(store, lane=lane))
    assert len(store.newest(None, NOTIFY)) == 2


def test_two_workers_with_the_same_settings_tell_once(store: Store) -> None:
    join(store, failed=TELL)
    join(store, failed=TELL)
    store.fail(declare(store))
    assert len(told(store)) == 1


def test_settings_hold_until_a_worker_with_others_comes(store: Store) -> None:
    parent = declare(store)
    store.fail(parent)
    join(store, failed=TELL)
    for member in store._members:
        store.repository.leave(member, store.now)
    store._members.clear()
    child = declare(store, after=(parent,))
    store.worker = join(store, failed=Rule(("new",)))
    assert [event["id"] for event in told(store)] == [child]
    assert commands(store) == [["new"]]


# A flood


def test_a_flood_is_gathered_after_its_first(store: Store) -> None:
    join(store, failed=GATHER)
    ids = store.declare(*(asked() for _ in range(5)))
    store.fail(*ids[:3])
    [first] = told(store)
    assert (first["id"], first["count"], "list" in first) == (ids[0], 1, False)
    store.now += 30
    store.fail(*ids[3:])
    assert store.turn(NOTHING).deadline == store.now + 30
    assert len(told(store)) == 1
    store.repository.close()
    store.repository = open_store(store.path)
    store.now += 30
    _, rest = told(store)
    assert (rest["id"], rest["count"]) == (ids[1], 4)
    assert [event["id"] for event in rest["list"]] == ids[1:]


def test_a_calm_after_a_flood_lets_the_next_be_told_at_once(store: Store) -> None:
    join(store, failed=GATHER)
    first, second, third = store.declare(asked(), asked(), asked())
    store.fail(first)
    store.fail(second)
    for _ in range(2):  # a notice, then a whole stretch without anything
        store.now += 60
        store.turn(NOTHING)
    assert store.turn(NOTHING).deadline is None
    store.fail(third)
    assert [event["id"] for event in told(store)] == [first, second, third]


def test_a_notice_lists_the_first_hundred_and_counts_the_rest(store: Store) -> None:
    join(store, completed=GATHER)
    ids = store.declare(*(asked() for _ in range(MAX_LISTED + 2)))
    store.complete(*ids)
    store.now += 60
    event = told(store)[1]
    assert (event["count"], len(event["list"])) == (MAX_LISTED + 1, MAX_LISTED)


def test_more_than_one_turn_can_take_is_told_of_in_several(store: Store) -> None:
    parent = declare(store)
    ids = store.declare(*(asked(after=(parent,), on_failure=own("tell")) for _ in range(1100)))
    store.fail(parent)
    while store.turn(NOTHING).deadline == store.now:
        pass
    assert [event["id"] for event in told(store)] == ids


# Workers and queues


def test_a_dead_worker_is_told_of_once(store: Store) -> None:
    dead = join(store, worker_down=TELL)
    join(store, worker_down=TELL)
    for _ in range(2):  # two workers may find it at the same time
        store.repository.recover([dead], {}, store.now)
    [event] = told(store)
    assert (event["notice"], event["worker"], event["pid"]) == ("worker_down", dead, os.getpid())


def test_what_a_dead_worker_alone_wanted_to_be_told_is_told(store: Store) -> None:
    dead = join(store, worker_down=TELL)
    join(store)
    store.repository.recover([dead], {}, store.now)
    assert [(event["notice"], event["worker"]) for event in told(store)] == [("worker_down", dead)]


def test_a_stuck_queue_is_told_of_until_it_has_recovered(store: Store) -> None:
    join(store, queue_stuck=TELL._replace(after=600.0))
    id = declare(store)
    store.now += 600
    assert told(store) == []
    for _ in range(3):
        store.now += 60
        [event] = told(store)
    assert (event["notice"], event["queue"], event["seconds"]) == ("queue_stuck", "default", 660.0)
    store.complete(id)
    store.now += 60
    store.turn(NOTHING)
    declare(store, due_at=store.now)
    store.now += 700
    assert len(told(store)) == 2


def test_a_queue_is_looked_at_once_a_minute(store: Store) -> None:
    assert store.turn(NOTHING).deadline is None
    join(store, queue_stuck=TELL._replace(after=600.0))
    assert store.turn(NOTHING).deadline == store.now + 60
    store.now += 59
    assert store.turn(NOTHING).deadline == store.now + 1


def test_notices_that_wait_are_no_stuck_queue(store: Store) -> None:
    join(store, queue_stuck=TELL._replace(after=600.0))
    declare(store, lane=Lane(NOTIFY, SHELL, 0))
    store.now += 1000
    store.turn(NOTHING)
    assert len(store.newest(None, NOTIFY)) == 1


def test_a_paused_queue_is_no_stuck_queue(store: Store) -> None:
    join(store, queue_stuck=TELL._replace(after=600.0))
    declare(store)
    store.repository.pause_queue("default", store.now, "me", None, None)
    store.now += 1000
    assert told(store) == []
    store.repository.resume_queue("default", store.now)
    store.now += 60
    assert [event["queue"] for event in told(store)] == ["default"]


def test_a_worker_whose_queues_have_weights_takes_notices_after_them(store: Store) -> None:
    notice, job = store.declare(asked(Lane(NOTIFY, SHELL, 0)), asked(Lane("mail", "noop", 0)))
    taken: list[int] = []

    def assign(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(offered)
        taken.extend(one.id for one in some)
        return some, False

    store.turn(Want(Taking(("mail", "default"), weights=(5, 1)), assign))
    assert taken == [job, notice]


def test_what_is_not_a_rule_tells_nobody(store: Store) -> None:
    for text in ("", "[]", '{"command": []}', '{"command": ["x"], "more": 1}', "{"):
        store.fail(declare(store, on_failure=text))
    assert told(store) == []
    assert Conditions(on_failure="").on_failure == ""
    assert store.newest(COMPLETED) == []
