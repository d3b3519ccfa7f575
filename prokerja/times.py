"""Durations and moments as people write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prokerja.errors import BadOption
from prokerja.text import quoted

if TYPE_CHECKING:
    from datetime import datetime

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MAX_SECONDS = 100 * 365 * 86400.0
"""No duration is longer than a hundred years, in seconds."""
MAX_TIMESTAMP = 253402300799.0
"""No moment is later than the end of the year 9999 (UTC), in seconds since the epoch."""
FAR_SECONDS = 30 * 86400.0
"""From here on a moment in a list for people is a day."""

_DURATION = r"(?a)(\d{1,15}(?:\.\d{1,9})?)([smhdw]?)"


def duration(text: str, what: str = "duration") -> float:
    """Seconds in `90`, `30s`, `5m`, `2h`, `7d` or `1w`; BadOption names `what` otherwise."""
    match = re.fullmatch(_DURATION, text.strip())
    if match is None:
        raise BadOption(f"{what}: {quoted(text)} is not a duration; write 90, 30s, 5m, 2h or 7d")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds > MAX_SECONDS:
        raise BadOption(f"{what}: {quoted(text)} is longer than a hundred years; write less")
    return seconds


def written(seconds: float) -> str:
    """A duration as `duration` reads it: `5m` for 300 seconds, `90s` for 90."""
    units = (unit for unit in ("d", "h", "m") if seconds and seconds % UNITS[unit] == 0)
    unit = next(units, "s")
    return f"{seconds / UNITS[unit]:.12g}{unit}"


def moment(text: str, what: str = "time") -> float:
    """Seconds since the epoch of an ISO 8601 time, local unless it says otherwise."""
    return time_of(text, what).timestamp()


def time_of(text: str, what: str = "time") -> datetime:
    """An ISO 8601 time as it is written; BadOption names `what` otherwise."""
    from datetime import datetime

    try:
        time = datetime.fromisoformat(text.strip())
        iso(time.timestamp())  # at the edges of the calendar, a time zone can lead beyond it
    except (ValueError, OverflowError, OSError):
        raise BadOption(
            f"{what}: {quoted(text)} is not a time; write 2030-01-31T18:00 or 2030-01-31T18:00Z"
        ) from None
    return time


def iso(seconds: float) -> str:
    """The moment as ISO 8601 in UTC, to the millisecond."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def human(seconds: float) -> str:
    """A duration for people, in its two largest units: `3m 20s`, `2d 4h`, `0.25s`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.2f}s"
    parts: list[str] = []
    left = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def short(at: float, now: float) -> str:
    """A moment in a few letters: `39s ago`, `in 2h`, or the day if it is far away."""
    distance = abs(now - at)
    if distance > FAR_SECONDS:
        return iso(at)[:10]
    largest = human(max(distance, 10)).split()[0] if distance >= 10 else f"{int(distance)}s"
    return f"{largest} ago" if at <= now else f"in {largest}"
