"""When something is to run: by cron's five fields, every so often, or once.

A rule is asked for the first moment after another, and remembers nothing. Moments are whole seconds
since the epoch, so that each has one name for all who ask.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cronsim import CronSim, CronSimError

from prokerja.errors import BadOption
from prokerja.schedules.zones import at, change_near, instants, zone_of
from prokerja.text import quoted
from prokerja.times import MAX_TIMESTAMP, duration, time_of, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

ALIASES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip
"""What cron knows by a name."""
FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
DAY_NAMES = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
"""From when on a rule has to come, to be one; a leap year."""
SECOND = timedelta(seconds=1)
MAX_LENGTH = 255
"""Of a rule, in characters."""
SEVERAL = "write five fields, such as '0 9,18 * * 1,5'"
LAST_DAYS = "write monthly L for the last day, or '0 0 31 * *' for the months that have it"
EXAMPLES = "write '30 2 * * *', every 5m, hourly, daily 02:00, weekly mon 09:00 or monthly"


class Rule(Protocol):
    """When something is to run."""

    @property
    def text(self) -> str:
        """As people write it."""

    @property
    def words(self) -> str:
        """The same in words."""

    def next(self, after: float) -> float | None:
        """The first moment after that one; None if it never comes again."""


class Cron(NamedTuple):
    """Cron's five fields, by the clock on the wall of a zone, with Debian's rule for its changes.

    What is at a fixed time runs once on each day that has it or would have had it: at the end of
    the hour that is left out, and the first time in the one that comes twice. Where the minute or
    the hour begins with `*`, it runs whenever the clock shows such a time (cron(8) of Debian).

    The library reads the fields and knows the calendar, as if no clock were ever changed. Its own
    way with changes loses times where they are of half an hour.
    """

    text: str
    zone: str

    @property
    def is_fixed(self) -> bool:
        """Whether it is at fixed times of the day."""
        minute, hour, *_ = self.text.split()
        return not (minute.startswith("*") or hour.startswith("*"))

    @property
    def words(self) -> str:
        """Such as `At 02:30 every day`."""
        told = CronSim(self.text, BEGIN).explain()
        _, _, day, _, weekday = self.text.split()
        if not (day.startswith("*") or weekday.startswith("*")):
            told = told.replace(" and on ", " or on ")
        return re.sub(r"\b(\d?[02-9])?([123])th\b", _ordinal, told)

    def next(self, after: float) -> float | None:
        """The first moment after that one; None if none comes within fifty years."""
        if not after < MAX_TIMESTAMP:
            return None
        where, after = zone_of(self.zone), math.floor(max(after, 0.0))
        wall = at(after, where).replace(tzinfo=None)
        if len(instants(wall, where)) < 2:
            return next((one for one in self._moments(wall, where) if one > after), None)
        # In a time that comes twice, what the clock shows next need not come next.
        first, end = change_near(wall, where).affected
        found: list[float] = []
        for shown in self.on_the_wall(first - SECOND):
            found += (one for one in self._at(shown, where) if one > after)
            if found and shown >= end:
                break
        return min(found, default=None)

    def on_the_wall(self, since: datetime) -> Iterator[datetime]:
        """The times after that one that it names, as if no clock were ever changed."""
        times = CronSim(self.text, since.replace(tzinfo=UTC))
        while True:
            try:
                yield next(times).replace(tzinfo=None)
            except (StopIteration, OverflowError, ValueError):  # the calendar ends in 9999
                return

    def _moments(self, since: datetime, where: ZoneInfo) -> Iterator[float]:
        """When it runs for what the clock shows after `since`, time by time."""
        for wall in self.on_the_wall(since):
            yield from self._at(wall, where)

    def _at(self, wall: datetime, where: ZoneInfo) -> list[float]:
        """When it runs for a time that it names."""
        found = instants(wall, where)
        if self.is_fixed:
            found = found[:1] or [change_near(wall, where).at]
        return [one.timestamp() for one in found]


class Every(NamedTuple):
    """Every so many seconds of real time, counted from a moment."""

    seconds: int
    since: int

    @property
    def text(self) -> str:
        """Such as `every 5m`."""
        return f"every {written(self.seconds)}"

    @property
    def words(self) -> str:
        """Such as `Every 5m`."""
        return self.text.capitalize()

    def next(self, after: float) -> float | None:
        """The first moment after that one; the first of all is `seconds` after `since`."""
        if not after < MAX_TIMESTAMP:
            return None
        count = max(math.floor((after - self.since) / self.seconds) + 1, 1)
        found = self.since + count * self.seconds
        return float(found) if found <= MAX_TIMESTAMP else None


class Once(NamedTuple):
    """At one moment."""

    at: int

    @property
    def text(self) -> str:
        """Such as `at 2030-01-31T18:00:00Z`."""
        return f"at {datetime.fromtimestamp(self.at, UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def words(self) -> str:
        """Such as `Once, at 2030-01-31T18:00:00Z`."""
        return f"Once, {self.text}"

    def next(self, after: float) -> float | None:
        """That moment, as long as it has not come."""
        return float(self.at) if self.at > after else None


def rule(text: str, where: str, now: float) -> Rule:
    """What a text means, in a zone, written at a moment; BadOption says what is wrong with it."""
    if len(text) > MAX_LENGTH:
        raise BadOption(f"{quoted(text)} is no rule: it is too long; {EXAMPLES}")
    word, _, rest = " ".join(text.split()).partition(" ")
    match word.casefold():
        case "every":
            return _every(rest, now)
        case "at":
            return Once(_ahead(_moment(rest, where), now, text))
        case "in":
            return Once(math.ceil(now + duration(rest, "in")))
        case "hourly" | "daily" | "weekly" | "monthly" as period:
            return cron(_calendar(period, rest.casefold().split(), text), where)
        case alias if alias.startswith("@"):
            return cron(_alias(alias, rest, text), where)
    return cron(text, where)


def cron(text: str, where: str) -> Cron:
    """The rule of five fields; BadOption names the one that is wrong."""
    zone_of(where)
    fields = text.split()
    if len(fields) == 6:
        raise BadOption(f"cron: {quoted(text)} has six fields, and cron has no seconds; {_EVERY}")
    if len(fields) != 5:
        what = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        raise BadOption(f"{quoted(text)} is no rule of five fields, it has {what}; {EXAMPLES}")
    found = Cron(" ".join(fields), where)
    try:
        CronSim(found.text, BEGIN)
    except CronSimError as error:
        raise BadOption(_refusal(found.text, fields, str(error))) from None
    if next(found.on_the_wall(BEGIN), None) is None:
        raise BadOption(f"cron: {quoted(found.text)} never comes; correct its days")
    return found


_EVERY = "write every 15s for what is more often than each minute"


def _refusal(text: str, fields: list[str], error: str) -> str:
    """What is wrong with five fields, in a line that names one of them."""
    name = error.removeprefix("Bad ")
    if name not in FIELDS:
        return f"cron: {quoted(text)}: {error}; {EXAMPLES}"
    if name == "day-of-month" and _is_right([*fields[:3], "*", fields[4]]):
        return f"cron: {quoted(text)} never comes: no such month has that day; correct its days"
    field = fields[FIELDS.index(name)]
    return f"cron: {quoted(field)} is no {name}, in {quoted(text)}; {_RANGES[name]}"


_RANGES = {
    "minute": "there are 0 to 59, *, 0-30, */5 and 0,30",
    "hour": "there are 0 to 23, *, 8-18, */2 and 8,20",
    "day-of-month": "there are 1 to 31, *, 1-15, 1,15, L (the last) and LW (the last on a weekday)",
    "month": "there are 1 to 12, JAN to DEC, *, 6-8 and */3",
    "day-of-week": "there are 0 to 7 and SUN to SAT, *, 1-5, 5L (the last) and 1#2 (the second)",
}


def _is_right(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), BEGIN)
    except CronSimError:
        return False
    return True


def _alias(alias: str, rest: str, text: str) -> str:
    if alias == "@reboot":
        raise BadOption(f"{quoted(text)} is no time; have systemd declare the job when it starts")
    if rest or alias not in ALIASES:
        known = ", ".join(ALIASES)
        raise BadOption(f"{quoted(text)} is no rule; there are {known}, and {EXAMPLES}")
    return ALIASES[alias]


def _calendar(period: str, given: list[str], text: str) -> str:
    """The five fields of `daily 02:00` and its kin."""
    parts: dict[str, str] = {}
    for word in given:
        more = _parts(period, word)
        if not more:
            instead = LAST_DAYS if period == "monthly" and word in ("29", "30", "31") else EXAMPLES
            raise BadOption(f"{quoted(word)} is no part of a time, in {quoted(text)}; {instead}")
        if more.keys() & parts.keys():
            raise BadOption(f"{quoted(word)} is one too many, in {quoted(text)}; {SEVERAL}")
        parts |= more
    minute, hour = parts.get("minute", "0"), parts.get("hour", "0")
    return {
        "hourly": f"{minute} * * * *",
        "daily": f"{minute} {hour} * * *",
        "weekly": f"{minute} {hour} * * {parts.get('weekday', '1')}",
        "monthly": f"{minute} {hour} {parts.get('day', '1')} * *",
    }[period]


def _parts(period: str, word: str) -> dict[str, str]:
    """What a word says of a time of that kind; nothing if it is no part of one."""
    if period == "hourly":
        found = re.fullmatch(r"(?a):?([0-5]?\d)", word)
        return {} if found is None else {"minute": str(int(found[1]))}
    if found := re.fullmatch(r"(?a)([01]?\d|2[0-3]):([0-5]\d)", word):
        return {"hour": str(int(found[1])), "minute": str(int(found[2]))}
    days = [day for day, name in enumerate(DAY_NAMES) if name.startswith(word)]
    if period == "weekly" and len(word) >= 3 and days:
        return {"weekday": str(days[0])}
    if period == "monthly" and re.fullmatch(r"(?a)0?[1-9]|1\d|2[0-8]|l|lw", word):
        return {"day": word.upper().lstrip("0")}
    return {}


def _every(text: str, now: float) -> Every:
    seconds = duration(text, "every")
    if seconds < 1 or seconds % 1:
        raise BadOption(f"every: {quoted(text)} is not in whole seconds; write every 1s or more")
    return Every(int(seconds), int(now))


def _moment(text: str, where: str) -> int:
    """A time that says of itself where it is, or is shown by the clock of a zone."""
    given = time_of(text, "at")
    try:
        found = [given] if given.tzinfo is not None else instants(given, zone_of(where))
        moments = [math.ceil(one.timestamp()) for one in found]
    except OverflowError:
        moments = [int(MAX_TIMESTAMP) + 1]
    if not moments:
        change = change_near(given, zone_of(where))
        raise BadOption(
            f"at: {quoted(text)} does not come in {where}: the clock goes forward from"
            f" {change.before:%H:%M} to {change.after:%H:%M}; give a time before or after that"
        )
    if moments[0] > MAX_TIMESTAMP:
        raise BadOption(f"at: {quoted(text)} is later than the calendar goes; give an earlier time")
    return moments[0]  # the first one, if it comes twice


def _ordinal(match: re.Match[str]) -> str:
    """A number with the ending that it has in English, where the library gives it another."""
    return f"{match[1] or ''}{match[2]}{('st', 'nd', 'rd')[int(match[2]) - 1]}"


def _ahead(moment: int, now: float, text: str) -> int:
    if moment <= now:
        raise BadOption(f"{quoted(text)} is over; give a time that is to come")
    return moment
