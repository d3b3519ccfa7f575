"""Rates as people write them: `10/min`, `5/30s`."""

from __future__ import annotations

from prokerja.errors import BadOption
from prokerja.model.flow import Rate
from prokerja.text import quoted
from prokerja.times import duration, written

MAX_STARTS = 1_000_000
MAX_WINDOW_SECONDS = 366 * 86400.0
UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}
SHORT = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}


def parse_rate(text: str, what: str = "rate") -> Rate:
    """The rate in `10/min`, `5/30s` or `100/day`; BadOption names `what` otherwise."""
    starts, slash, window = text.strip().partition("/")
    if not (slash and window and starts.isascii() and starts.isdigit()):
        raise BadOption(f"{what}: {quoted(text)} is not a rate; write 10/min, 5/30s or 100/day")
    if len(starts) > 18 or not 1 <= int(starts) <= MAX_STARTS:
        raise BadOption(f"{what}: {quoted(text)}: give a number of starts from 1 to {MAX_STARTS:,}")
    seconds = UNITS.get(window)
    if seconds is None:
        seconds = duration(window, what)
    if not 0 < seconds <= MAX_WINDOW_SECONDS:
        raise BadOption(f"{what}: {quoted(text)} needs more than 0 s, and at most 366 days")
    return Rate(int(starts), seconds)


def human(rate: Rate) -> str:
    """A rate as `parse_rate` reads it: `10/min`, `5/30s`."""
    starts, seconds = rate
    if seconds in SHORT:
        return f"{starts}/{SHORT[seconds]}"
    if seconds % 1:
        return f"{starts}/{seconds:.9f}".rstrip("0") + "s"
    return f"{starts}/{written(seconds)}"
