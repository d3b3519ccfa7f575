"""How long each kind of job takes, as far as this worker has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = TypeVar("Kind", int, str)

UNKNOWN_SECONDS = 1.0
"""A kind that was never seen travels alone."""
MIN_SECONDS = 10e-6
"""What a job costs at least; it bounds how many travel together."""
SECONDS_PER_BYTE = 2e-8
"""Of payload: large ones travel alone, too."""
SMOOTHING = 0.2
MAX_KINDS = 1000
"""Lanes, or names, that are remembered: those that jobs ended in last."""


class Durations:
    """Moving averages, quick to rise and slow to fall, in seconds: of each lane, and of each name.

    Jobs with a key of their own have lanes of their own, which nothing is known of.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        """`names` are those of jobs, by lane, as far as they were met."""
        self._names = names
        self._by_lane: dict[int, float] = {}
        self._by_name: dict[str, float] = {}

    def costs(self) -> Mapping[int, float]:
        """What a job of each lane is expected to cost, its payload apart."""
        return _Costs(self)

    def expected(self, lane: int) -> float:
        """How long a job of that lane takes: as its like did, or else those of its name."""
        mean = self._by_lane.get(lane)
        if mean is None:
            mean = self._by_name.get(self._names.get(lane, ""), UNKNOWN_SECONDS)
        return max(mean, MIN_SECONDS)

    def learn(self, lane: int, seconds: float) -> None:
        """A job of this lane took that long."""
        _learn(self._by_lane, lane, seconds)
        if lane in self._names:
            _learn(self._by_name, self._names[lane], seconds)


class _Costs(dict[int, float]):
    """Those of one moment, worked out when they are asked for."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations

    def __missing__(self, lane: int) -> float:
        self[lane] = cost = self._durations.expected(lane)
        return cost


def _learn(means: dict[Kind, float], kind: Kind, seconds: float) -> None:
    mean = means.pop(kind, seconds)
    if seconds > 2 * mean:
        mean = seconds
    means[kind] = max(mean + SMOOTHING * (seconds - mean), 0.0)
    if len(means) > MAX_KINDS:
        del means[next(iter(means))]
