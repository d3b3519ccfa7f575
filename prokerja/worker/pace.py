"""How long each kind of job takes, as far as this worker has seen."""

from __future__ import annotations

UNKNOWN = 1.0
"""Seconds: a kind that was never seen travels alone."""
LEAST = 10e-6
"""Seconds that a job costs at least; it bounds how many travel together."""
PER_BYTE = 2e-8
"""Seconds for each byte of payload: large ones travel alone, too."""
WEIGHT = 0.2


class Pace:
    """A moving average for each lane, quick to rise and slow to fall; in seconds."""

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def cost(self, lane: int, payload: str) -> float:
        """What a job of this lane is expected to cost."""
        return max(self._means.get(lane, UNKNOWN), LEAST) + len(payload) * PER_BYTE

    def learn(self, lane: int, seconds: float) -> None:
        """A job of this lane took that long."""
        mean = self._means.get(lane, seconds)
        self._means[lane] = max(seconds, 0.0) if seconds > 2 * mean else (
            mean + WEIGHT * (seconds - mean)
        )  # fmt: skip
