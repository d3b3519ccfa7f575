"""A job that needs the processor."""

import time
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Burn(Job):
    """Keep one core busy for `seconds` of its own time."""

    seconds: float

    def handle(self) -> None:
        """Count the time that this thread gets, not what passes on the wall."""
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass
