"""For trying things out: `prokerja declare:job noop`."""

from dataclasses import dataclass

from prokerja import Job


@dataclass
class Noop(Job):
    """Do nothing.

    `n` tells one declaration from another, and is otherwise ignored.
    """

    n: int = 0

    def handle(self) -> None:
        """Return at once."""
