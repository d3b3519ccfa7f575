"""Steps of jobs that are done once, however often the job runs; times are as elsewhere."""

from typing import NamedTuple

MAX_STEP_BYTES = 2**16
"""Of a step's value as JSON text."""
MAX_STEPS_BYTES = 2**20
"""Of all values and names of one job's steps."""


class Step(NamedTuple):
    """A step that has been done."""

    name: str
    done_at: float
    """In seconds since the epoch, in UTC."""
