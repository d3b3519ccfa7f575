"""A job that writes down when it was started."""

import os
import time
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Mark(Job):
    """Append `n`, the monotonic time and the time of day (both in ns) to the file at `path`."""

    path: str
    n: int

    def handle(self) -> None:
        """Read the clocks before anything else."""
        monotonic, wall = time.monotonic_ns(), time.time_ns()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, b"%d %d %d\n" % (self.n, monotonic, wall))
        finally:
            os.close(descriptor)
