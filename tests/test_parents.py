"""What jobs are given beside their payloads, however many there are and however much it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import msgpack

from prokerja.model.claim import Claimed, Extra
from prokerja.model.step import MAX_STEP_BYTES
from prokerja.worker.pool.batches import MAX_ADDED_BYTES
from prokerja.worker.pool.in_flight import InFlight
from prokerja.worker.wire.messages import Batch
from tests.harness.home import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.harness.home import Home

QUICK = """
    from dataclasses import dataclass
    from prokerja import Job

    @dataclass
    class Quick(Job):
        def handle(self):
            return None
"""
LONG = "x" * MAX_STEP_BYTES


def test_many_children_of_parents_that_return_much_complete(home: Home) -> None:
    home.write("quick.py", QUICK)
    parents = home.run_each(["return 'x' * 60_000"] * 20)
    given = "return [len(result) for result in self.parents.values()]"
    first = home.run(given, after=parents)
    home.queue.declare_many((request("quick") for _ in range(400)), after=parents)
    last = home.run(given, after=parents)
    worker = home.work()
    assert home.counts() == {"pending": 0, "processing": 0, "completed": 422, "failed": 0}
    assert "its process ended" not in worker.said()
    assert home.job(first)["result"] == home.job(last)["result"] == [60_000] * 20


def test_a_parent_whose_result_was_cut_gives_none(home: Home) -> None:
    long, short = home.run_each(["return 'x' * 70_000", "return ''"])
    child = home.run("return self.parents", after=[long, short])
    home.work()
    assert home.job(child)["result"] == {str(long): None, str(short): ""}


def sent(extras: Sequence[Extra | None]) -> tuple[list[Batch], InFlight]:
    """The batches, as they arrive, in which jobs that are given this are sent."""
    in_flight = InFlight()
    for id, _ in enumerate(extras, 1):
        assert in_flight.assign(Claimed(7, 0.0, id, 1, "{}", 1, None), 1e-6)
    given = {(7, id): extra for id, extra in enumerate(extras, 1) if extra is not None}
    batches = in_flight.take_batches({1: "quick"}, given)
    encoded = [msgpack.encode(batch) for batch in batches]
    assert max(map(len, encoded)) < 5 * MAX_ADDED_BYTES
    decoded = [msgpack.decode(frame, type=Batch) for frame in encoded]
    numbered = [n for one in decoded for n, _ in enumerate(one.jobs, one.first)]
    assert numbered == list(in_flight.jobs) == list(range(1, len(extras) + 1))
    arrived = {n: extra for batch in decoded for n, extra in batch.given().items()}
    assert arrived == {n: extra for n, extra in enumerate(extras, 1) if extra is not None}
    return decoded, in_flight


def test_what_many_jobs_are_given_travels_in_frames_of_a_few_mib() -> None:
    steps = Extra(steps={f"step {n}": LONG for n in range(15)})
    batches, in_flight = sent([steps] * 300)
    assert len(batches) > 50
    assert not in_flight.has_room
    own = [Extra(parents={n: LONG, n + 1: None}) for n in range(0, 2000, 2)]
    assert len(sent(own)[0]) > 10


def test_what_many_jobs_are_given_alike_travels_once() -> None:
    parents = Extra(parents=dict.fromkeys(range(200), LONG))
    batches, _ = sent([parents, *[None, parents] * 200])
    assert [len(batch.jobs) for batch in batches] == [401]


def test_a_job_of_its_own_keeps_its_place_between_those_that_are_given_much() -> None:
    much = Extra(parents=dict.fromkeys(range(200), LONG), answer="1", token="secret")
    batches, _ = sent([None, much, None, Extra(parents={500: "2", 3: LONG}), much])
    assert [len(batch.jobs) for batch in batches] == [1, 4]
