"""Limits, rates, resources and turns, as any store keeps them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prokerja.model.declaration import Lane
from prokerja.model.flow import Flow
from prokerja.verdicts import Completed, Parked, Released
from tests.repository.harness import Store, asked

if TYPE_CHECKING:
    from prokerja.model.declaration import Declaration
    from prokerja.model.record import Record
    from prokerja.verdicts import Verdict

WEIGHTS = {"mail": 5, "default": 1}


def flowing(
    queue: str = "default", name: str = "noop", priority: int = 0, **flow: Any
) -> Declaration:
    """A request that is subject to a flow."""
    return asked(Lane(queue, name, priority, "", Flow(**flow)))


def limited(key: str, most: int = 1, **lane: Any) -> Declaration:
    return flowing(limit_key=key, max_running=most, **lane)


def rated(key: str, starts: int, seconds: float, **lane: Any) -> Declaration:
    return flowing(rate_key=key, max_starts=starts, rate_seconds=seconds, **lane)


def end(store: Store, claims: dict[int, tuple[int, int]], *ids: int, began: float = 0.0) -> None:
    """These have been run, from then (or a second ago) to now."""
    for id in ids:
        token, lane = claims[id]
        began = began or store.now - 1
        store.settle(token, (id, lane, Completed(began, store.now)))


# Limits


def test_no_more_of_a_key_are_claimed_at_once_than_its_limit(store: Store) -> None:
    first, second, third = store.declare(*[limited("db", 2)] * 3)
    claims = store.take()
    assert [*claims] == [first, second]
    assert not store.take()
    end(store, claims, first)
    assert [*store.take()] == [third]


def test_a_limit_is_one_across_queues_names_priorities_and_workers(store: Store) -> None:
    lanes: list[dict[str, Any]] = [{"queue": "mail"}, {"name": "send"}, {"priority": 7}, {}]
    store.declare(*[limited("db", **lane) for lane in lanes])
    assert len(store.take()) == 1
    assert not store.take(worker=store.join())


def test_of_different_limits_for_a_key_each_holds_for_who_asked_for_it(store: Store) -> None:
    one, strict, loose = store.declare(limited("db", 2), limited("db", 1), limited("db", 2))
    claims = store.take()
    assert [*claims] == [one, loose]
    end(store, claims, one)
    assert not store.take()
    end(store, claims, loose)
    assert [*store.take()] == [strict]


def test_others_do_not_wait_behind_a_key_that_is_full(store: Store) -> None:
    store.declare(*[limited("db")] * 10_000)
    [other, plain] = store.declare(limited("disk"), asked())
    assert [*store.take()] == [1, other, plain]


def test_a_full_key_is_not_due_until_somebody_ends(store: Store) -> None:
    store.declare(*[limited("db")] * 2)
    store.take()
    assert store.last_turn.next_due is None


def test_a_key_is_free_again_when_its_worker_is_dead(store: Store) -> None:
    store.declare(limited("db"))
    store.take(worker=store.join())
    dead = store.worker + 1
    assert not store.take()
    store.recover(dead)
    assert [*store.take()] == [1]


def test_a_key_is_free_again_when_a_job_comes_back(store: Store) -> None:
    store.declare(limited("db"))
    [(token, lane)] = store.take().values()
    store.settle(token, (1, lane, Released(counted=False)))
    assert [*store.take()] == [1]


def test_what_waits_to_be_resolved_does_not_count(store: Store) -> None:
    store.declare(*[limited("db")] * 2)
    [(token, lane)] = store.take().values()
    store.settle(token, (1, lane, Parked(store.now, store.now)))
    assert [*store.take()] == [2]
    store.repository.resolve(1, "1", None, store.now)
    assert not store.take()


def test_a_retried_job_keeps_its_limit(store: Store) -> None:
    store.declare(*[limited("db")] * 2)
    claims = store.take()
    end(store, claims, 1)
    store.fail(2)
    store.repository.retry([2], store.now)
    store.declare(limited("db"))
    assert len(store.take()) == 1


def test_what_changes_its_queue_keeps_its_limit(store: Store) -> None:
    from prokerja.model.change import Change

    store.declare(*[limited("db")] * 2)
    store.repository.change([2], Change("mail", None, None, None, {}), store.now)
    assert [*store.take()] == [1]


# Rates


def test_no_more_start_in_a_stretch_than_the_rate_says(store: Store) -> None:
    store.declare(*[rated("api", 2, 60.0)] * 4)
    claims = store.take()
    assert [*claims] == [1, 2]
    end(store, claims, 1, 2, began=store.now)
    assert not store.take()
    assert store.last_turn.next_due is not None
    assert 60.0 <= store.last_turn.next_due - store.now < 60.001
    store.now += 59.9
    assert not store.take()
    store.now = store.last_turn.next_due
    assert [*store.take()] == [3, 4]


def test_what_is_claimed_counts_until_it_is_known_when_it_began(store: Store) -> None:
    store.declare(*[rated("api", 1, 10.0)] * 2)
    claims = store.take()
    store.now += 100.0
    assert not store.take()
    assert store.last_turn.next_due is None
    end(store, claims, 1, began=store.now - 4)
    assert not store.take()
    assert store.last_turn.next_due is not None
    assert 6.0 <= store.last_turn.next_due - store.now < 6.001


def test_what_runs_counts_from_when_it_began(store: Store) -> None:
    store.declare(*[rated("api", 1, 10.0)] * 2)
    [(token, _)] = store.take().values()
    store.begin(token, 1)
    store.now += 10.1
    assert [*store.take()] == [2]


def test_what_came_back_without_having_begun_does_not_count(store: Store) -> None:
    store.declare(rated("api", 1, 10.0))
    [(token, lane)] = store.take().values()
    store.settle(token, (1, lane, Released(counted=False)))
    assert [*store.take()] == [1]


def test_what_a_dead_worker_held_may_have_begun(store: Store) -> None:
    store.declare(rated("api", 1, 10.0))
    store.take()
    store.now += 1
    store.recover()
    assert not store.take()
    store.now += 10.1
    assert [*store.take()] == [1]


def test_a_rate_outlives_its_jobs_and_their_upkeep(store: Store) -> None:
    store.declare(rated("api", 1, 3600.0))
    end(store, store.take(), 1, began=store.now)
    store.now += 60
    store.purge(store.one(1).status, store.now)
    upkeep(store)
    store.declare(rated("api", 1, 3600.0))
    assert not store.take()


def test_a_clock_that_was_ahead_holds_nothing_up_for_longer_than_a_stretch(store: Store) -> None:
    store.declare(*[rated("api", 1, 60.0)] * 2)
    end(store, store.take(), 1, began=store.now + 7200)
    assert not store.take()
    assert store.last_turn.next_due is not None
    store.now = store.last_turn.next_due
    assert store.now < 60.1 + 1_900_000_000.0
    assert [*store.take()] == [2]


def test_what_began_after_another_workers_clock_was_read_counts_in_full(store: Store) -> None:
    store.declare(*[rated("api", 1, 10.0)] * 2)
    read = store.now
    end(store, store.take(), 1, began=read + 0.005)
    assert not store.take(worker=store.join())
    store.now = read + 10.004
    assert not store.take()
    store.now = read + 10.006
    assert [*store.take()] == [2]


class Moments:
    """A worker whose jobs begin some time after they were claimed, and end later still."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.held: list[tuple[float, float, int, tuple[int, int]]] = []
        self.begun: list[float] = []

    def run(self, delays: list[tuple[float, float]], seconds: float) -> None:
        """Run one job for each of these delays before it begins, and before it ends."""
        rest = iter(delays)
        last = self.store.now + 1000 * seconds
        while len(self.begun) < len(delays) and self.store.now < last:
            for id, claim in self.store.take().items():
                before, after = next(rest)
                began = self.store.now + before
                self.begun.append(began)
                self.held.append((began + after, began, id, claim))
            due = self.store.last_turn.next_due
            ends = [end for end, *_ in self.held]
            self.store.now = min([moment for moment in (due, *ends) if moment is not None])
            over = [one for one in self.held if one[0] <= self.store.now]
            self.held = [one for one in self.held if one[0] > self.store.now]
            for _, began, id, (token, lane) in over:
                self.store.settle(token, (id, lane, Completed(began, self.store.now)))


@settings(deadline=None)
@given(
    delays=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), min_size=1, max_size=25),
    starts=st.integers(1, 4),
    seconds=st.floats(0.5, 12),
)
def test_no_stretch_holds_one_too_many_however_late_jobs_begin_and_end(
    delays: list[tuple[float, float]], starts: int, seconds: float
) -> None:
    store = Store(":memory:")
    try:
        store.declare(*[rated("api", starts, seconds)] * len(delays))
        moments = Moments(store)
        moments.run(delays, seconds)
        begun = sorted(moments.begun)
        assert len(begun) == len(delays)
        for first, last in zip(begun, begun[starts:], strict=False):
            assert last - first >= seconds - 1e-6
    finally:
        store.repository.close()


# Resources


def test_jobs_take_from_what_the_machine_has(store: Store) -> None:
    heavy, light, other = store.declare(
        flowing(needs=(("memory", 6),)), flowing(needs=(("memory", 3),)), asked()
    )
    claims = store.take(resources={"memory": 8})
    assert [*claims] == [heavy, other]
    end(store, claims, heavy)
    assert [*store.take(resources={"memory": 8})] == [light]


def test_all_that_is_needed_has_to_be_there(store: Store) -> None:
    store.declare(flowing(needs=(("gpu", 1), ("memory", 3))))
    assert not store.take(resources={"memory": 8})
    assert not store.take(resources={"memory": 2, "gpu": 1})
    assert len(store.take(resources={"memory": 3, "gpu": 1})) == 1


def test_workers_of_a_machine_share_what_it_has(store: Store) -> None:
    store.declare(*[flowing(needs=(("gpu", 1),))] * 2)
    assert len(store.take(resources={"gpu": 1})) == 1
    assert not store.take(worker=store.join(), resources={"gpu": 1})


# Turns


def keys(store: Store, ids: list[int]) -> str:
    """The labels of these jobs, in a row."""
    return "".join(store.one(id).label or "-" for id in ids)


def fair(key: str, label: str | None = None, **lane: Any) -> Declaration:
    return flowing(fair_key=key, **lane)._replace(label=label or key)


def test_keys_take_turns(store: Store) -> None:
    store.declare(*[fair("a")] * 1000, *[fair("b")] * 3, fair("c"))
    assert keys(store, [*store.take(9)]) == "abcababaa"


def test_turns_go_on_from_one_claim_to_the_next(store: Store) -> None:
    store.declare(*[fair("a")] * 5, *[fair("b")] * 5)
    assert "".join(keys(store, [*store.take(1)]) for _ in range(6)) == "ababab"


def test_what_has_no_key_has_a_turn_like_any_other(store: Store) -> None:
    store.declare(*[fair("a")] * 4, *[asked(Lane("default", "noop", 0))] * 2)
    assert keys(store, [*store.take()]) == "a-a-aa"


def test_a_key_has_one_turn_whatever_its_jobs_are_called(store: Store) -> None:
    store.declare(fair("a"), fair("a", name="send"), fair("b"))
    assert keys(store, [*store.take()]) == "aba"


def test_new_keys_do_not_go_before_one_that_waits_for_ever(store: Store) -> None:
    store.declare(*[fair("a")] * 20)
    taken = ""
    for n in range(20):
        store.declare(fair(f"new {n}", "b"))
        taken += keys(store, [*store.take(1)])
        upkeep(store)
    assert taken == "ababbabbbabbbbabbbbb", "in each round, one key more has been waiting"


def test_priority_goes_before_turns(store: Store) -> None:
    store.declare(*[fair("a")] * 2, *[fair("b", "B", priority=7)] * 2)
    assert keys(store, [*store.take()]) == "BBaa"


def test_what_takes_no_turns_may_be_claimed_beside_what_does(store: Store) -> None:
    store.declare(fair("a"), asked(Lane("default", "noop", 7)), fair("b"))
    assert keys(store, [*store.take()]) == "-ab"
    assert not store.take()


def test_what_is_claimed_before_those_that_take_turns_has_none(store: Store) -> None:
    store.declare(asked(Lane("default", "noop", 7)), fair("a"))
    assert keys(store, [*store.take()]) == "-a"
    store.declare(asked(Lane("default", "noop", 0)), fair("b"))
    assert keys(store, [*store.take()]) == "-b"


def test_a_look_at_what_is_next_is_no_turn(store: Store) -> None:
    store.declare(*[fair("a")] * 4, *[fair("b")] * 4)
    assert [keys(store, [*store.take(2, looks=1)]) for _ in range(3)] == ["ab"] * 3


def test_a_turn_that_nobody_wants_is_not_lost(store: Store) -> None:
    store.declare(*[fair("a")] * 2, *[fair("b")] * 2)
    assert keys(store, [*store.take(1)]) == "a"
    assert not store.take(0)
    assert keys(store, [*store.take(1)]) == "b"


# Weights


def shares(taken: list[int], store: Store) -> list[str]:
    return [store.one(id).lane.queue for id in taken]


def weighted(store: Store, room: int) -> list[int]:
    return [*store.take(room, *WEIGHTS, weights=tuple(WEIGHTS.values()))]


def many(queue: str, count: int = 60) -> list[Declaration]:
    return [asked(Lane(queue, "noop", 0))] * count


def test_queues_take_turns_by_their_weights(store: Store) -> None:
    store.declare(*many("mail"), *many("default"))
    assert Counter(shares(weighted(store, 60), store)) == {"mail": 50, "default": 10}


def test_the_lightest_queue_never_waits_for_more_than_the_weights_of_the_others(
    store: Store,
) -> None:
    store.declare(*many("mail", 200), *many("default", 30))
    order = [*itertools.chain(*(shares(weighted(store, 1), store) for _ in range(90)))]
    waits = [len([*run]) for queue, run in itertools.groupby(order) if queue == "mail"]
    assert max(waits) <= 5


def test_a_queue_that_had_nothing_to_do_has_saved_nothing_up(store: Store) -> None:
    store.declare(*many("mail", 100))
    weighted(store, 50)
    store.declare(*many("default", 40))
    assert Counter(shares(weighted(store, 12), store)) == {"mail": 10, "default": 2}


def test_each_worker_of_a_program_has_weights_of_its_own(store: Store) -> None:
    store.declare(*many("mail", 2), *many("other", 3), fair("a"))
    assert shares(weighted(store, 1), store) == ["mail"]
    taken = [*store.take(1, "other", "mail", worker=store.join(), weights=(2, 1))]
    assert shares(taken, store) == ["other"]
    assert len(store.take(worker=store.join())) == 4


def test_priority_counts_within_a_queue(store: Store) -> None:
    store.declare(*many("default", 2), asked(Lane("default", "noop", 7)), *many("mail", 1))
    assert weighted(store, 2)[1] == 3 or weighted(store, 1)[0] == 3


def test_a_queue_that_is_not_named_is_left_alone(store: Store) -> None:
    store.declare(*many("other", 1), *many("mail", 1))
    assert weighted(store, 10) == [2]


# Upkeep


def flows_and_lanes(store: Store) -> tuple[int, int]:
    database = store.repository.database  # type: ignore[attr-defined]
    [flows] = database.execute("SELECT count(*) FROM flow").fetchone()
    [lanes] = database.execute("SELECT count(*) FROM lane WHERE flow").fetchone()
    return flows, lanes


def without_flow(record: Record) -> Record:
    return record._replace(lane=record.lane._replace(flow=None))


def upkeep(store: Store) -> None:
    while store.repository.purge_old({}, store.now, 0.001) == store.now:
        pass


def settle_all(store: Store, verdict: Verdict) -> None:
    for id, (token, lane) in store.take().items():
        store.settle(token, (id, lane, verdict))


def test_keys_of_the_past_leave_nothing_behind(store: Store) -> None:
    store.declare(*[limited(f"key {n}") for n in range(1300)], limited("failed"))
    store.fail(1301)
    settle_all(store, Completed(store.now, store.now, "1"))
    before = [without_flow(store.one(id)) for id in store.newest()]
    upkeep(store)
    assert flows_and_lanes(store) == (1000, 1000)
    assert [without_flow(store.one(id)) for id in store.newest()] == before
    assert store.counts() == [0, 0, 1300, 1]
    metrics = store.repository.metrics(None, store.now)
    assert sum(bucket.attempts for bucket in metrics.durations) == 1301
    store.repository.retry([1301], store.now)
    store.declare(limited("failed"))
    assert len(store.take()) == 1


def test_a_key_that_waits_keeps_its_place_among_however_many(store: Store) -> None:
    store.declare(fair("waits"))
    database = store.repository.database  # type: ignore[attr-defined]
    rows = [("waits", 1), ("idle", 2), *((f"later {n}", n + 3) for n in range(10_000))]
    with database.writing():
        database.executemany("INSERT INTO turn (fair_key, served) VALUES (?, ?)", rows)
    upkeep(store)
    kept = {key for (key,) in database.execute("SELECT fair_key FROM turn")}
    assert {key for key, _ in rows} - kept == {"idle"}


def test_keys_of_what_may_be_tried_again_are_kept(store: Store) -> None:
    store.declare(limited("db"), limited("db"))
    store.fail(1)
    settle_all(store, Completed(store.now, store.now))
    upkeep(store)
    store.repository.retry([1], store.now)
    store.declare(limited("db"))
    assert len(store.take()) == 1
