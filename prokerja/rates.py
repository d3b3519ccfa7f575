"""Rates as people write them."""

from __future__ import annotations

import re

from prokerja.errors import BadOption
from prokerja.model.flow import Rate
from prokerja.text import quoted
from prokerja.times import duration, written

UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86400),
}
SHORT = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}
MAX_STARTS = 1_000_000
MAX_SECONDS = 366 * 86400.0


def parse_rate(text: str, what: str) -> Rate:
    """The rate in `10/min`, `3/day` or `5/30s`; BadOption names `what` otherwise.

    Up to 1,000,000 starts, in more than no time and up to 366 days.
    """
    match = re.fullmatch(r"(?a)(\d{1,7})/(.+)", text.strip())
    try:
        seconds = float(UNITS.get(match[2]) or duration(match[2])) if match else None
    except BadOption:
        seconds = None
    if match is None or seconds is None:
        raise BadOption(f"{what}: {quoted(text)} is not a rate; write 10/min, 100/2h or 1/30s")
    starts = int(match[1])
    if not (1 <= starts <= MAX_STARTS and 0 < seconds <= MAX_SECONDS):
        raise BadOption(
            f"{what}: {quoted(text)} is out of bounds; give 1 to 1,000,000 starts, in a time of"
            " up to 366 days"
        )
    return Rate(starts, seconds)


def human(rate: Rate) -> str:
    """A rate as `parse_rate` reads it: `10/min`."""
    return f"{rate.starts}/{SHORT.get(rate.seconds) or written(rate.seconds)}"
