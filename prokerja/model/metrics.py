"""What a system that watches others is told of a queue."""

from typing import NamedTuple

from prokerja.model.summary import Summary
from prokerja.times import MAX_SECONDS

BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, MAX_SECONDS)
"""The upper bounds of the buckets, in seconds; nothing takes longer than the last."""


class Bucket(NamedTuple):
    """Attempts of one job in one queue that took about the same time, since the file was made."""

    queue: str
    name: str
    completed: bool
    up_to: float
    """The most seconds that any of them took; the least is the bound of the bucket below."""
    attempts: int
    seconds: float
    """All of them together."""


class Metrics(NamedTuple):
    """Counts and sizes, at the same cost for ten jobs and ten million."""

    summary: Summary
    durations: list[Bucket]
    store_bytes: int
    log_bytes: int
    """Of what was written and is not in its place yet."""
