"""What attempts have used, and what those of a job usually use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prokerja.events import MemoryExceeded, Position
from prokerja.model.claim import Outgrown, Reported
from prokerja.model.cost import Cost, usual
from prokerja.model.declaration import Lane
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import COMPLETED, START, Store, asked

if TYPE_CHECKING:
    from prokerja.verdicts import Verdict

SMALL, LARGE = Cost(2**20, 0.5), Cost(2**30, None)


def end(store: Store, id: int, cost: Cost, verdict: Verdict | None = None) -> None:
    """Take what is due, and settle one with what it has used."""
    claimed = store.take()
    token, lane = claimed[id]
    reported = Reported(costs=[((token, id), cost)])
    settled = (id, lane, verdict or Completed(store.now - 1, store.now))
    store.repository.turn(store.worker, {token: [settled]}, (), None, store.now, reported=reported)


def costs(store: Store, id: int) -> list[Cost | None]:
    return [attempt.cost for attempt in store.attempts(id)]


def kept(store: Store) -> int:
    """How many rows there are."""
    database = store.repository.database  # type: ignore[attr-defined]
    return int(database.execute("SELECT count(*) FROM cost").fetchone()[0])


def test_each_attempt_is_kept_with_what_it_has_used(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=0.0))
    [other] = store.declare()
    end(store, id, SMALL, Failed(START - 1, START, "ValueError: no"))
    assert (costs(store, id), store.one(id).cost) == ([SMALL], SMALL)
    store.now += 1
    end(store, id, LARGE)
    assert (costs(store, id), store.one(id).cost) == ([SMALL, LARGE], LARGE)
    assert (costs(store, other), store.one(other).cost) == ([], None)


def test_the_last_word_on_an_attempt_stands(store: Store) -> None:
    [id] = store.declare()
    end(store, id, SMALL, Released(counted=True))
    end(store, id, LARGE)
    assert costs(store, id) == [LARGE]


def test_what_a_worker_does_not_hold_is_not_noted(store: Store) -> None:
    [id] = store.declare()
    reported = Reported(costs=[((1, id), SMALL)])
    store.repository.turn(store.worker, {}, (), None, store.now, reported=reported)
    assert kept(store) == 0


def test_it_goes_with_its_declaration(store: Store) -> None:
    ids = []
    for _ in range(2):
        ids += store.declare()
        end(store, ids[-1], SMALL)
        store.now += 10
    assert store.purge(COMPLETED, START + 5) == 1
    assert (kept(store), costs(store, ids[1])) == (1, [SMALL])
    store.repository.purge_old({COMPLETED: 0.0}, store.now + 100, 10.0)
    assert kept(store) == 0


@pytest.mark.parametrize(
    ("peaks", "found"),
    [([], None), ([7], 7), ([*range(1, 101)], 95), ([5, 1], 5), ([1] * 19 + [9], 1)],
)
def test_what_is_usual_is_what_95_in_100_stay_within(peaks: list[int], found: int | None) -> None:
    assert usual(peaks) == found


def test_what_is_usual_is_so_of_the_last_attempts_of_one_job(store: Store) -> None:
    peak = store.repository.usual_peak
    assert peak("send") is None
    for cost in (LARGE, *[SMALL] * 100):
        [id] = store.declare(asked(Lane("mail", "send", 0)))
        end(store, id, cost)
        store.now += 1
    [id] = store.declare(asked(Lane("default", "noop", 0)))
    end(store, id, LARGE)
    assert (peak("send"), peak("noop"), peak("other")) == (2**20, 2**30, None)
    for _ in range(6):
        store.now += 1
        [id] = store.declare(asked(Lane("default", "send", 7)))
        end(store, id, LARGE, Failed(store.now - 1, store.now, "killed"))
    assert peak("send") == 2**30


def test_a_realizer_that_has_grown_too_large_is_told(store: Store) -> None:
    reported = Reported(outgrown=[Outgrown(9, "send", 2**30, 2**29)])
    after = store.repository.event_position(None)
    store.repository.turn(store.worker, {}, (), None, store.now, reported=reported)
    [event] = store.repository.events(after or Position(), 10)
    assert isinstance(event, MemoryExceeded)
    assert (event.worker, event.pid, event.job) == (store.worker, 9, "send")
    assert (event.bytes, event.limit, event.at) == (2**30, 2**29, START)
