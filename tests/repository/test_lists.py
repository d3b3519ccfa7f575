"""What lists and summaries tell."""

from __future__ import annotations

import re

import pytest

from prokerja.errors import NotFound
from prokerja.model.declaration import Lane, Status
from prokerja.model.record import Filter
from tests.repository.harness import COMPLETED, FAILED, PENDING, PROCESSING, START, Store, asked


@pytest.fixture
def mixed(store: Store) -> Store:
    """Two of each status on two queues, in an order in which ids tell little.

    Ids 1 to 8 on `default`, 9 to 16 on `mail`, names by turns; of each eight the first two are
    completed (the second one first), the next two failed (likewise), two processing, two pending.
    """
    for queue, first in (("default", 1), ("mail", 9)):
        lanes = [Lane(queue, "noop", 0), Lane(queue, "send", 7)]
        store.declare(*[asked(lane) for lane in lanes * 3])
        store.declare(*[asked(lane, due_at=START + 10_000) for lane in lanes])
        for id in (first + 1, first):
            store.now += 1
            store.complete(id)
        for id in (first + 3, first + 2):
            store.now += 1
            store.fail(id)
        assert sorted(store.take()) == [first + 4, first + 5]
    return store


@pytest.mark.parametrize(
    ("status", "queue", "name", "ids"),
    [
        (COMPLETED, None, None, [10, 9, 2, 1]),
        (FAILED, None, None, [12, 11, 4, 3]),
        (PROCESSING, None, None, [14, 13, 6, 5]),
        (PENDING, None, None, [16, 15, 8, 7]),
        (None, None, None, list(range(16, 0, -1))),
        (COMPLETED, "mail", None, [10, 9]),
        (FAILED, "default", None, [4, 3]),
        (PROCESSING, "mail", None, [14, 13]),
        (PENDING, "default", None, [8, 7]),
        (None, "mail", None, list(range(16, 8, -1))),
        (COMPLETED, None, "noop", [9, 1]),
        (FAILED, None, "send", [12, 4]),
        (PROCESSING, None, "noop", [13, 5]),
        (PENDING, None, "send", [16, 8]),
        (None, None, "send", list(range(16, 0, -2))),
        (COMPLETED, "mail", "send", [10]),
        (FAILED, "mail", "noop", [11]),
        (PROCESSING, "default", "send", [6]),
        (PENDING, "mail", "noop", [15]),
        (None, "default", "noop", [7, 5, 3, 1]),
        (None, "nowhere", None, []),
        (COMPLETED, None, "nothing", []),
    ],
)
def test_the_newest_jobs_are_listed_by_every_filter_in_order_and_up_to_the_limit(
    mixed: Store, status: Status | None, queue: str | None, name: str | None, ids: list[int]
) -> None:
    assert mixed.newest(status, queue, name) == ids
    for limit in range(len(ids) + 1):
        assert mixed.newest(status, queue, name, limit) == ids[:limit]
    records = mixed.repository.newest(Filter(status, queue, name), 100)
    assert all(status in (None, record.status) for record in records)
    assert all(queue in (None, record.lane.queue) for record in records)
    assert all(name in (None, record.lane.name) for record in records)


def test_the_newest_pending_jobs_are_those_declared_last_not_those_due_last(store: Store) -> None:
    store.declare(asked(due_at=START + 60))
    store.declare(asked())
    assert store.newest(PENDING, limit=1) == [2]


def test_a_filter_that_everything_passes_does_not_change_which_jobs_are_newest(
    store: Store,
) -> None:
    first, second = store.declare(asked(), asked())
    store.complete(second)
    store.now += 1
    store.complete(first)
    assert store.newest(limit=1) == store.newest(queue="default", limit=1) == [second]


def ahead(store: Store, id: int) -> int:
    """How many jobs come before one, as it is told why it does not run."""
    detail = store.repository.find(id, store.now)
    assert detail is not None
    if detail.why == "it is the next; a worker takes it as soon as a realizer is free":
        return 0
    told = re.fullmatch(r"it waits its turn behind (\d+) other jobs?", detail.why or "")
    assert told is not None, detail.why
    return int(told[1])


def test_how_many_jobs_come_before_one_counts_only_those_that_do(store: Store) -> None:
    low, low2, high, later_high, mail = store.declare(
        asked(Lane("default", "noop", 0)),
        asked(Lane("default", "send", 0)),
        asked(Lane("default", "noop", 7)),
        asked(Lane("default", "noop", 7), due_at=START + 100),
        asked(Lane("mail", "noop", 0)),
    )
    store.now += 1
    assert ahead(store, high) == 0
    assert ahead(store, low) == 1
    assert ahead(store, low2) == 2
    assert ahead(store, mail) == 3
    store.now += 100
    assert ahead(store, low) == 2
    assert ahead(store, later_high) == 1


def test_jobs_of_a_higher_priority_that_fall_due_this_very_moment_come_before(
    store: Store,
) -> None:
    low, _high = store.declare(asked(Lane("default", "noop", 0)), asked(Lane("default", "noop", 7)))
    order = list(store.take())
    store.recover()
    assert order.index(low) == 1
    assert ahead(store, low) == 1


def test_how_long_the_first_in_line_has_been_due_is_known_by_queue(store: Store) -> None:
    def longest(queue: str | None, now: float) -> float | None:
        return store.repository.summary(queue, now).waiting_since

    assert longest(None, store.now) is None
    store.declare(asked(due_at=START + 5), asked(Lane("mail", "noop", 0), due_at=START + 3))
    assert longest(None, START) is None
    assert longest(None, START + 10) == START + 3
    assert longest("default", START + 10) == START + 5
    assert longest("nowhere", START + 10) is None


def test_a_job_that_is_not_there_has_no_record(store: Store) -> None:
    for id in (1, 2**70):
        for ask in (store.repository.find, store.repository.conditions):
            with pytest.raises(NotFound, match=f"^there is no job {id};"):
                ask(id, store.now)
        with pytest.raises(NotFound, match=f"^there is no job {id};"):
            store.repository.read(id)


def test_a_record_is_read_alone_as_in_a_list(mixed: Store) -> None:
    mixed.declare(asked()._replace(label="blue", batch="night"))
    records = mixed.repository.newest(Filter(), 100)
    assert [mixed.repository.read(record.id) for record in records] == records
    assert (records[0].label, records[0].batch) == ("blue", "night")


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(label="blue"), [5, 1]),
        (Filter(label="none"), []),
        (Filter(PENDING, label="blue"), [5]),
        (Filter(since=START + 2), [6, 5, 4, 3]),
        (Filter(until=START + 2), [2, 1]),
        (Filter(since=START + 2, until=START + 4), [4, 3]),
        (Filter(since=START + 99), []),
        (Filter(until=START), []),
        (Filter(error="no ROOM"), [3]),
        (Filter(FAILED, error="no"), [4, 3]),
        (Filter(error="nothing like it"), []),
        (Filter(label="red", error="shoes", since=START), [4]),
    ],
)
def test_a_list_may_be_of_a_label_of_a_time_or_of_an_error(
    store: Store, wanted: Filter, ids: list[int]
) -> None:
    for label in ("blue", None, "green", "red", "blue", None):
        store.declare(asked(label=label))
        store.now += 1
    store.complete(1)
    store.fail(3, error="ValueError: No room")
    store.fail(4, error="OSError: no shoes")
    assert [record.id for record in store.repository.newest(wanted, 100)] == ids
    assert [record.id for record in store.repository.newest(wanted, 1)] == ids[:1]
