"""Measured beside the plain one that does nothing."""

from dataclasses import dataclass

from prokerja import Job


@dataclass
class AsyncNoop(Job):
    """Do nothing, in an event loop."""

    n: int = 0

    async def handle(self) -> None:
        """Return at once."""
