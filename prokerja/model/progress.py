"""How far jobs have come, by their own word; times are seconds since the epoch, in UTC."""

from typing import NamedTuple


class Progress(NamedTuple):
    """What an attempt has said last."""

    attempt: int
    """Its number, from 1."""
    done: float
    total: float | None
    """Of what there is to do; None if it has not said."""
    text: str
    reported_at: float

    @property
    def part(self) -> float | None:
        """From 0 to 1; None if there is no telling."""
        return min(self.done / self.total, 1.0) if self.total else None
