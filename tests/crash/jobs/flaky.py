"""A job that fails every other time."""

import random
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Flaky(Job):
    """Raise, or do not."""

    n: int = 0

    def handle(self) -> None:
        """Toss a coin."""
        if random.random() < 0.5:
            raise RuntimeError("tails")
