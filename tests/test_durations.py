"""What a worker expects jobs to cost, and how much of it is remembered."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from prokerja import Job, Queue, Worker
from prokerja.worker.pool import pool
from prokerja.worker.pool.durations import MAX_KINDS, UNKNOWN_SECONDS, Durations

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclasses.dataclass
class Numbered(Job):
    """Each has a key of its own."""

    n: int
    lock = "{n}"

    def handle(self) -> None:
        """Do nothing."""


def test_a_lane_that_is_new_costs_what_others_of_its_name_did() -> None:
    durations = Durations({1: "short", 2: "short", 3: "long"})
    assert durations.costs()[1] == UNKNOWN_SECONDS
    durations.learn(1, 0.001)
    costs = durations.costs()
    assert (costs[1], costs[2], costs[3], costs[4]) == (
        0.001, 0.001, UNKNOWN_SECONDS, UNKNOWN_SECONDS
    )  # fmt: skip
    durations.learn(2, 0.5)
    assert durations.costs()[1] == 0.001
    assert durations.costs()[2] == 0.5


def test_lanes_of_the_past_are_forgotten() -> None:
    durations = Durations({})
    durations.learn(0, 0.25)
    for lane in range(1, MAX_KINDS):
        durations.learn(lane, 0.001)
    durations.learn(0, 0.25)
    durations.learn(MAX_KINDS, 0.001)
    assert durations.costs()[0] == 0.25
    assert durations.costs()[1] == UNKNOWN_SECONDS


def test_a_worker_forgets_the_names_of_lanes_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_NAMES", 50)
    with Queue(tmp_path / "q.db") as queue:
        worker = Worker(queue, [Numbered], realizers=2, until_empty=True)
        known: list[int] = []
        forget = pool.Pool.forget_names

        def noted(self: pool.Pool, seen: dict[int, str]) -> None:
            forget(self, seen)
            known.append(len(self.results.job_names))

        monkeypatch.setattr(pool.Pool, "forget_names", noted)
        queue.declare_many(Numbered(n) for n in range(300))
        worker.run()
        assert queue.summary().total.completed == 300
        assert max(known) >= 300
        assert known[-1] <= 50
