"""When rules come next: cases by hand, and every change of every zone beside a plain reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prokerja.errors import BadOption
from prokerja.schedules.clock_changes import effects
from prokerja.schedules.rules import Cron, Every, Once, rule
from prokerja.schedules.zones import clock_changes, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from prokerja.schedules.rules import Rule
    from prokerja.schedules.zones import ClockChange

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
CAIRO, MEXICO, HAVANA = "Africa/Cairo", "America/Mexico_City", "America/Havana"
NOW = datetime(2026, 11, 28, 10, tzinfo=UTC).timestamp()


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(found: Rule, after: str, count: int) -> list[str]:
    """The next ones after a moment, in UTC, as the cases write them."""
    moments = [seconds(after)]
    while len(moments) <= count:
        moment = found.next(moments[-1])
        assert moment is not None
        moments.append(moment)
    return [f"{datetime.fromtimestamp(one, UTC):%Y-%m-%dT%H:%MZ}" for one in moments[1:]]


@pytest.mark.parametrize(
    ("text", "where", "now", "right"),
    [
        ("0 12 * * *", BERLIN, "2026-03-28T11:00Z", ["2026-03-29T10:00Z"]),
        ("0 12 * * *", BERLIN, "2026-10-24T10:00Z", ["2026-10-25T11:00Z"]),
        ("30 2 * * *", BERLIN, "2026-03-28T11:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        ("30 2 * * *", BERLIN, "2026-10-24T10:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        ("30 2 * * *", BERLIN, "2026-10-25T01:10Z", ["2026-10-26T01:30Z"]),
        (
            "30 * * * *", BERLIN, "2026-10-24T22:45Z",
            ["2026-10-24T23:30Z", "2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"],
        ),
        ("30 2 * * *", NEW_YORK, "2026-03-07T17:00Z", ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T16:00Z", ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-03T01:30Z", ["2026-10-03T15:30Z", "2026-10-04T15:15Z"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04T01:00Z", ["2026-04-04T14:45Z", "2026-04-05T15:15Z"]),
        ("0 0 * * *", CAIRO, "2026-04-23T10:00Z", ["2026-04-23T22:00Z", "2026-04-24T21:00Z"]),
        ("30 2 * * *", MEXICO, "2023-04-01T18:00Z", ["2023-04-02T08:30Z"]),
        (
            "30 2 * * *", BERLIN, "2026-10-23T12:00Z",
            ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z", "2026-10-27T01:30Z",
             "2026-10-28T01:30Z"],
        ),
        (
            "30 * * * *", LORD_HOWE, "2026-04-04T14:00Z",
            ["2026-04-04T14:30Z", "2026-04-04T15:00Z", "2026-04-04T16:00Z"],
        ),
        ("45 * * * *", LORD_HOWE, "2026-10-03T14:30Z", ["2026-10-03T15:15Z", "2026-10-03T15:45Z"]),
        ("0 */2 * * *", LORD_HOWE, "2026-04-04T13:30Z", ["2026-04-04T15:30Z", "2026-04-04T17:30Z"]),
        (
            "*/15 5 * * *", LORD_HOWE, "2026-10-03T17:00Z",
            ["2026-10-03T18:00Z", "2026-10-03T18:15Z"],
        ),
        ("*/15 0 * * 5", CAIRO, "2026-04-23T10:00Z", ["2026-04-30T21:00Z"]),
        ("*/15 0 * * 0", HAVANA, "2026-03-07T12:00Z", ["2026-03-15T04:00Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", ["2028-02-29T00:00Z"]),
        ("0 0 13 * 5", "UTC", "2026-01-09T00:00Z", ["2026-01-13T00:00Z", "2026-01-16T00:00Z"]),
        ("0 0 L * *", "UTC", "2026-01-31T00:00Z", ["2026-02-28T00:00Z"]),
    ],
)  # fmt: skip
def test_cron_keeps_to_the_clock_on_the_wall(
    text: str, where: str, now: str, right: list[str]
) -> None:
    assert times(rule(text, where, NOW), now, len(right)) == right


@pytest.mark.parametrize(("day", "count"), [("2026-10-25", 25), ("2026-03-29", 23)])
def test_an_hourly_rule_runs_each_hour_that_a_day_has(day: str, count: int) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=zone_of(BERLIN)).timestamp()
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=zone_of(BERLIN))
    found = [*_between(rule("30 * * * *", BERLIN, NOW), begin - 1, end.timestamp())]
    assert len(found) == count
    assert {later - sooner for sooner, later in pairwise(found)} == {3600.0}


def test_an_interval_follows_real_time_whatever_the_clock_shows() -> None:
    found = Every(3600, int(seconds("2026-10-24T22:45Z")))
    moments = [*_between(found, found.since, found.since + 10 * 3600.5)]
    assert moments == [found.since + n * 3600 for n in range(1, 11)]
    assert found.next(found.since - 5000) == found.since + 3600
    assert found.next(moments[3] - 0.001) == moments[3]
    assert found.next(moments[3]) == moments[4]


def _between(found: Rule, after: float, before: float) -> Iterator[float]:
    moment = found.next(after)
    while moment is not None and moment < before:
        yield moment
        moment = found.next(moment)


CHANGES_SINCE, CHANGES_UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
AROUND = timedelta(hours=4)
MINUTE = timedelta(minutes=1)
ZONES = sorted(available_timezones() - {"localtime", "Factory"})


@cache
def _changes() -> dict[ClockChange, str]:
    """Every change of a clock in those years, and a zone that has it."""
    return {
        change: name
        for name in ZONES
        for change in clock_changes(zone_of(name), CHANGES_SINCE, CHANGES_UNTIL)
    }


class Shape(NamedTuple):
    """A kind of rule, made for a time; `{m}`, `{h}`, `{d}` and `{w}` are of that time."""

    text: str
    is_fixed: bool
    step: int = 0
    """Minutes; 0 for the minute of the time."""
    every_hour: bool = False
    every_day: bool = True

    def made(self, of: datetime) -> str:
        return self.text.format(m=of.minute, h=of.hour, d=of.day, w=of.isoweekday() % 7)

    def has(self, wall: datetime, of: datetime) -> bool:
        """Whether it names what a clock shows."""
        minute = wall.minute % self.step == 0 if self.step else wall.minute == of.minute
        hour = self.every_hour or wall.hour == of.hour
        return minute and hour and (self.every_day or wall.date() == of.date())


SHAPES = (
    Shape("{m} {h} * * *", is_fixed=True),
    Shape("{m} {h} {d} * *", is_fixed=True, every_day=False),
    Shape("{m} * * * *", is_fixed=False, every_hour=True),
    Shape("*/15 {h} * * *", is_fixed=False, step=15),
    Shape("*/15 {h} * * {w}", is_fixed=False, step=15, every_day=False),
    Shape("*/7 * * * *", is_fixed=False, step=7, every_hour=True),
)


def _reference(shape: Shape, of: datetime, change: ClockChange, where: ZoneInfo) -> list[float]:
    """Minute by minute: what the clock shows, what it has shown before, and what it leaves out."""
    missing, end = change.affected
    found: set[float] = set()
    shown: set[datetime] = set()
    moment = change.at - AROUND
    while moment <= change.at + AROUND:
        wall = moment.astimezone(where).replace(tzinfo=None)
        if shape.has(wall, of) and not (shape.is_fixed and wall in shown):
            found.add(moment.timestamp())
        shown.add(wall)
        if moment == change.at and change.is_forward and shape.is_fixed:
            while missing < end:
                if shape.has(missing, of):
                    found.add(moment.timestamp())
                missing += MINUTE
        moment += MINUTE
    return sorted(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_change_of_every_zone_is_kept_to(shape: Shape) -> None:
    kinds = {
        (c.before.time(), c.after - c.before, c.at.hour): (c, n) for c, n in _changes().items()
    }
    assert len(kinds) > 30
    for change, name in kinds.values():
        first, _ = change.affected
        begin, end = (change.at - AROUND).timestamp() - 1, (change.at + AROUND).timestamp() + 1
        for shift in (-30, 0, 15, 45):
            of = first + timedelta(minutes=shift)
            found = [*_between(Cron(shape.made(of), name), begin, end)]
            assert found == _reference(shape, of, change, zone_of(name)), (shape, name, change)


@given(
    st.sampled_from(sorted(_changes())),
    st.sampled_from(["30 2 * * *", "0 0 * * *", "*/7 * * * *", "15 1 * * 0", "30 * * * *"]),
    st.floats(-7200, 7200),
)
def test_what_comes_next_is_always_to_come(change: ClockChange, text: str, aside: float) -> None:
    now = change.at.timestamp() + aside
    found = Cron(text, _changes()[change])
    moment = found.next(now)
    assert moment is not None
    assert moment > now
    assert found.next(moment - 0.0001) == moment


@pytest.mark.parametrize("found", [Cron("30 2 * * *", "Asia/Tokyo"), Every(60, 0), Once(5)])
@pytest.mark.parametrize("far", [253402300799.0, 1e18, float("inf"), float("nan")])
def test_at_the_end_of_the_calendar_nothing_comes_any_more(found: Rule, far: float) -> None:
    assert found.next(far) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@daily", "0 0 * * *"), ("@HOURLY", "0 * * * *"), ("@yearly", "0 0 1 1 *"),
        ("@weekly", "0 0 * * 0"), ("hourly", "0 * * * *"), ("hourly 15", "15 * * * *"),
        ("daily", "0 0 * * *"), ("daily 02:30", "30 2 * * *"), ("weekly", "0 0 * * 1"),
        ("weekly mon 09:00", "0 9 * * 1"), ("Weekly 9:00 Sunday", "0 9 * * 0"),
        ("weekly thurs", "0 0 * * 4"), ("monthly 15 9:00", "0 9 15 * *"),
        ("monthly", "0 0 1 * *"), ("monthly l 23:59", "59 23 L * *"), (" 5  4 * * * ", "5 4 * * *"),
        ("every 5m", "every 5m"), ("every 90", "every 90s"),
        ("at 2030-01-31T18:00Z", "at 2030-01-31T18:00:00Z"),
        ("at 2030-01-31T18:00", "at 2030-01-31T17:00:00Z"),
        ("in 2h", "at 2026-11-28T12:00:00Z"),
    ],
)  # fmt: skip
def test_rules_are_kept_as_they_are_read_again(text: str, same: str) -> None:
    found = rule(text, BERLIN, NOW)
    assert found.text == same
    assert rule(found.text, BERLIN, NOW) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 30 2 *", "cron: '0 0 30 2 *' never comes: no such month has that day"),
        ("0 0 31 4,6 *", "never comes"),
        ("* * */20 * 1L", "never comes"),
        ("1 2 3 4 5 6", "has six fields, and cron has no seconds; write every 15s"),
        ("61 * * * *", "'61' is no minute, in '61 * * * *'"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day-of-month"),
        ("0 0 * 13 *", "'13' is no month"),
        ("0 0 * * foo", "'foo' is no day-of-week"),
        ("daily 25:00", "'25:00' is no part of a time, in 'daily 25:00'"),
        ("hourly 75", "'75' is no part of a time, in 'hourly 75'"),
        ("weekly mon tue", "'tue' is one too many, in 'weekly mon tue'; write five fields"),
        ("daily 02:00 14:00", "'14:00' is one too many"),
        ("weekly money", "'money' is no part of a time"),
        ("weekly mo", "'mo' is no part of a time"),
        ("monthly 31", "write monthly L for the last day"),
        ("0" * 5000 + " * * * *", "it is too long"),
        ("daily x", "'x' is no part of a time, in 'daily x'"),
        ("weekly someday", "'someday' is no part of a time"),
        ("@reboot", "'@reboot' is no time; have systemd declare"),
        ("@never", "there are @yearly"),
        ("@daily 02:00", "there are @yearly"),
        ("nonsense", "is no rule of five fields, it has 1 field"),
        ("", "it has 0 fields"),
        ("every", "every: '' is not a duration"),
        ("every 0.5s", "is not in whole seconds"),
        ("every 0", "is not in whole seconds"),
        ("every 200000d", "longer than a hundred years"),
        ("at yesterday", "at: 'yesterday' is not a time"),
        ("at 2020-01-01", "is over"),
        ("at 2027-03-28T02:30", "does not come in Europe/Berlin"),
        ("at 9999-12-31T23:59:59-14:00", "is not a time"),
        ("at 9999-12-31T23:59:59.5Z", "is later than the calendar goes"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(BadOption) as caught:
        rule(text, BERLIN, NOW)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "Nowhere", "../etc", "Europe", "/etc/localtime", "\0", "localtime", "right/Europe/Berlin"],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(BadOption, match="is no time zone"):
        zone_of(name)


def test_a_zone_is_guessed_at() -> None:
    with pytest.raises(BadOption, match=r"did you mean Europe/Berlin\?"):
        zone_of("europe/berln")


FORWARD = "Sun 2027-03-28 the clock goes forward from 02:00 to 03:00: "
BACK = "Sun 2027-10-31 the clock goes back from 03:00 to 02:00: "
MANY = "02:00, 02:15, 02:30 and so on"


@pytest.mark.parametrize(
    ("text", "forward", "back"),
    [
        (
            "30 2 * * *",
            "02:30 does not come, and it runs at 03:00 instead",
            "02:30 comes twice, and it runs the first time",
        ),
        (
            "0,30 2 * * *",
            "02:00, 02:30 do not come, and it runs once, at 03:00 instead",
            "02:00, 02:30 come twice, and it runs the first time",
        ),
        (
            "*/15 2 * * *",
            f"{MANY} do not come, and nothing runs on that day",
            f"{MANY} come twice, and it runs both times",
        ),
        (
            "30 * * * *",
            "02:30 does not come, and nothing runs instead",
            "02:30 comes twice, and it runs both times",
        ),
    ],
)
def test_what_the_change_of_clocks_does_is_told(text: str, forward: str, back: str) -> None:
    found = [*effects(rule(text, BERLIN, NOW), NOW)]
    assert found == [f"{FORWARD}{forward}", f"{BACK}{back}"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("0 12 * * *", BERLIN), ("30 2 * * *", "UTC"), ("30 2 * * *", "Asia/Tokyo"),
        ("every 1h", BERLIN), ("30 2 1 1 *", BERLIN),
    ],
)  # fmt: skip
def test_of_changes_that_touch_no_time_of_a_rule_nothing_is_told(text: str, where: str) -> None:
    assert [*effects(rule(text, where, NOW), NOW)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30 2 * * *", "At 02:30 every day"),
        ("monthly 22", "At 00:00 on the 22nd day of every month"),
        ("0 0 11,21,23 * *", "At 00:00 on the 11th, the 21st, and the 23rd day of month"),
        ("0 0 13 * 5", "At 00:00 on the 13th day of month or on Friday"),
        ("every 90m", "Every 90m"),
        ("in 2h", "Once, at 2026-11-28T12:00:00Z"),
    ],
)
def test_words_say_what_a_rule_means(text: str, words: str) -> None:
    assert rule(text, BERLIN, NOW).words == words


def test_a_change_across_midnight_is_told_by_both_days() -> None:
    [told] = effects(rule("30 23 * * *", CAIRO, NOW), NOW)
    back, _, what = told.partition(": ")
    assert back == "Fri 2027-10-29 the clock goes back from 00:00 to Thu 2027-10-28 23:00"
    assert what == "23:30 comes twice, and it runs the first time"


def test_changes_are_found_a_moment_after_the_second_of_the_day_at_which_they_come() -> None:
    now = seconds("2026-11-28T01:00:00.5Z")
    assert len([*effects(rule("30 2 * * *", BERLIN, now), now)]) == 2
