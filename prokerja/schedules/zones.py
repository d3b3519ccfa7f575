"""Time zones by their names; what a clock on the wall shows in them, and when that is changed."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from prokerja.errors import BadOption
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP = timedelta(days=1)
"""No zone changes its clock twice within that, there and back."""
NO_ZONES = ("localtime", "posixrules", "Factory")
"""Files beside those of zones, which mean something else on each machine, or nothing."""


class ClockChange(NamedTuple):
    """A moment from which the clock on the wall shows another time."""

    at: datetime
    """In UTC."""
    before: datetime
    """What it would show then, as a time without a zone."""
    after: datetime
    """What it shows instead."""

    @property
    def is_forward(self) -> bool:
        """Whether times are left out; else some come twice."""
        return self.after > self.before

    @property
    def affected(self) -> tuple[datetime, datetime]:
        """The times that do not come, or that come twice: from the first, before the second."""
        return min(self.before, self.after), max(self.before, self.after)


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; BadOption otherwise."""
    with suppress(LookupError, ValueError, OSError):
        if name not in NO_ZONES and not name.startswith(("right/", "posix/")):
            return ZoneInfo(name)
    raise BadOption(f"zone: {quoted(name)} is no time zone; {_instead(name)}")


def local_zone() -> str:
    """The name of the machine's own; BadOption if that has none."""
    from tzlocal import get_localzone_name

    asked = os.environ.get("TZ", "").removeprefix(":")
    try:
        name = get_localzone_name()
    except (LookupError, ValueError, OSError):
        name = None
    if name is None or not asked.endswith(name if asked else ""):
        whose = f"that of TZ={quoted(asked)}" if asked else "that of this machine"
        raise BadOption(f"zone: {whose} has no name; pass --zone")
    return zone_of(name).key


def instants(wall: datetime, where: ZoneInfo) -> list[datetime]:
    """The moments, in UTC, at which a clock there shows a time: none, one or two, in order."""
    both = {wall.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(one for one in both if one.astimezone(where).replace(tzinfo=None) == wall)


def at(seconds: float, where: ZoneInfo) -> datetime:
    """What the clock shows there at a moment in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(where)


def change_near(wall: datetime, where: ZoneInfo) -> ClockChange:
    """The change because of which a clock there does not show a time, or shows it twice."""
    moment = wall.replace(tzinfo=where).astimezone(UTC)
    return next(
        one
        for one in clock_changes(where, moment - STEP, moment + STEP)
        if one.affected[0] <= wall < one.affected[1]
    )


def clock_changes(where: ZoneInfo, since: datetime, until: datetime) -> Iterator[ClockChange]:
    """All between two moments."""
    moment = since.astimezone(UTC).replace(microsecond=0)
    while moment < until:
        later = min(moment + STEP, until)
        if _offset(moment, where) != _offset(later, where):
            yield _change(where, moment, later)
        moment = later


def _change(where: ZoneInfo, earlier: datetime, later: datetime) -> ClockChange:
    """The one between these two moments, in UTC."""
    before, after = _offset(earlier, where), _offset(later, where)
    while later - earlier > timedelta(seconds=1):
        middle = (earlier + (later - earlier) / 2).replace(microsecond=0)
        if _offset(middle, where) == before:
            earlier = middle
        else:
            later = middle
    bare = later.replace(microsecond=0, tzinfo=None)
    return ClockChange(bare.replace(tzinfo=UTC), bare + before, bare + after)


def _offset(moment: datetime, where: ZoneInfo) -> timedelta:
    offset = moment.astimezone(where).utcoffset()
    assert offset is not None
    return offset


def _instead(name: str) -> str:
    from difflib import get_close_matches

    known = {one.casefold(): one for one in available_timezones()}
    if close := get_close_matches(name.casefold(), known, n=1):
        return f"did you mean {known[close[0]]}?"
    return "write one such as Europe/Berlin or UTC"
