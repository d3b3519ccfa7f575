"""How long each kind of job takes, as far as this worker has seen."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_SECONDS = 1.0
"""A kind that was never seen travels alone."""
MIN_SECONDS = 10e-6
"""What a job costs at least; it bounds how many travel together."""
SECONDS_PER_BYTE = 2e-8
"""Of payload: large ones travel alone, too."""
SMOOTHING = 0.2


class Durations:
    """A moving average for each lane, quick to rise and slow to fall; in seconds."""

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def costs(self) -> Mapping[int, float]:
        """What a job of each lane is expected to cost, its payload apart."""
        known = {lane: max(mean, MIN_SECONDS) for lane, mean in self._means.items()}
        return defaultdict(lambda: UNKNOWN_SECONDS, known)

    def learn(self, lane: int, seconds: float) -> None:
        """A job of this lane took that long."""
        mean = self._means.get(lane, seconds)
        if seconds > 2 * mean:
            mean = seconds
        self._means[lane] = max(mean + SMOOTHING * (seconds - mean), 0.0)
