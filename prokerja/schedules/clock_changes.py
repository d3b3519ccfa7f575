"""What a change of the clock does to a rule, in words."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from prokerja.schedules.rules import Cron
from prokerja.schedules.zones import at, clock_changes, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from prokerja.schedules.rules import Rule
    from prokerja.schedules.zones import ClockChange

LOOK_AHEAD = timedelta(days=366)
MAX_TIMES = 3
"""Of one change, that are told of."""


def effects(rule: Rule, after: float) -> Iterator[str]:
    """A sentence for each change within a year that touches the times of a rule."""
    if isinstance(rule, Cron):
        where = zone_of(rule.zone)
        since = at(after, where)
        for change in clock_changes(where, since, since + LOOK_AHEAD):
            if named := _named(rule, change):
                yield f"{_change(change)}: {_what(rule, change, named)}"


def _named(rule: Cron, change: ClockChange) -> list[datetime]:
    """The times of the rule that do not come, or come twice."""
    first, end = change.affected
    found: list[datetime] = []
    for moment in rule.on_the_wall(first - timedelta(seconds=1)):
        if moment >= end:
            break
        found.append(moment)
    return found


def _change(change: ClockChange) -> str:
    before, after = change.before, change.after
    verb = "forward" if change.is_forward else "back"
    to = f"{after:%H:%M}" if after.date() == before.date() else f"{after:%a %Y-%m-%d %H:%M}"
    return f"{before:%a %Y-%m-%d} the clock goes {verb} from {before:%H:%M} to {to}"


def _what(rule: Cron, change: ClockChange, named: list[datetime]) -> str:
    times = ", ".join(f"{one:%H:%M}" for one in named[:MAX_TIMES])
    if len(named) > MAX_TIMES:
        times += " and so on"
    do, comes = ("does", "comes") if len(named) == 1 else ("do", "come")
    if not change.is_forward:
        when = "the first time" if rule.is_fixed else "both times"
        return f"{times} {comes} twice, and it runs {when}"
    missing = f"{times} {do} not come, and"
    if rule.is_fixed:
        once = "" if len(named) == 1 else "once, "
        return f"{missing} it runs {once}at {change.after:%H:%M} instead"
    return f"{missing} nothing runs {'on that day' if _rests(rule, change) else 'instead'}"


def _rests(rule: Cron, change: ClockChange) -> bool:
    """Whether it does not run at all on the day of the change."""
    where, (first, _) = zone_of(rule.zone), change.affected
    begin = first.replace(hour=0, minute=0, second=0, tzinfo=where).astimezone(UTC)
    next_at = rule.next(begin.timestamp() - 1)
    return next_at is None or at(next_at, where).date() > first.date()
