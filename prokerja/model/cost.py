"""What attempts have used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTED_SECONDS = 0.02
"""What was shorter is not looked at."""
USUAL_PERCENT = 95
"""Of attempts, so many stay within what is usual."""


class Cost(NamedTuple):
    """Of an attempt, the processes that it has started and waited for among it."""

    peak_bytes: int | None
    """The most memory that one of its processes has held; None if that cannot be told."""
    cpu_seconds: float | None


def usual(peaks: Sequence[int]) -> int | None:
    """What 95 in 100 of them stay within; None if there are none."""
    if not peaks:
        return None
    return sorted(peaks)[-(-len(peaks) * USUAL_PERCENT // 100) - 1]
