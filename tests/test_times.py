"""Durations and moments as people write them, and as they are shown."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prokerja.errors import BadOption
from prokerja.options import Options, due
from prokerja.text import quoted
from prokerja.times import MAX_SECONDS, UNITS, duration, human, iso, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

YEAR_9999 = 253402300799.0
"""The last second that a calendar of four digits has."""


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Moves this process to another time zone."""

    def move(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("1.5h", 5400),
        ("0.25", 0.25),
        ("0.000000001s", 1e-9),
        ("007d", 604800),
        ("  5m\n", 300),
        ("36500d", MAX_SECONDS),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "-1",
        "-5m",
        "+5m",
        "5 m",
        "5M",
        "5min",
        "5m30s",
        "1e3",
        "0x10",
        "1_000",
        "1,5h",
        "1.h",
        ".5h",
        "1..5",
        "nan",
        "inf",
        "٣s",
        "５m",  # noqa: RUF001
        "²",
        "5m\0",
        "5\nm",
        "\ud800",
        "for ever",
        "9" * 16,
        "0." + "1" * 10,
        "9" * 100_000,
    ],
)
def test_what_is_no_duration_is_refused_by_name_in_one_short_line(text: str) -> None:
    with pytest.raises(BadOption, match=r"^keep: .* is not a duration; write 90, 30s") as refusal:
        duration(text, "keep")
    assert_is_one_short_line(str(refusal.value))


@pytest.mark.parametrize("text", ["36500.1d", "5215w", "3153600001", "9" * 15 + "w"])
def test_a_duration_of_more_than_a_hundred_years_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match=r"^delay: .* longer than a hundred years; write less$"):
        duration(text, "delay")


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS)))
def test_a_whole_number_with_a_unit_is_that_many_of_them_or_too_long(count: int, unit: str) -> None:
    if count * UNITS[unit] <= MAX_SECONDS:
        assert duration(f"{count}{unit}") == count * UNITS[unit]
    else:
        with pytest.raises(BadOption):
            duration(f"{count}{unit}")


@given(st.text() | st.from_regex(r"[0-9.]{0,20}[smhdw ]?", fullmatch=True))
def test_no_text_gives_a_duration_out_of_bounds_or_an_error_of_another_kind(text: str) -> None:
    try:
        seconds = duration(text)
    except BadOption as refusal:
        assert_is_one_short_line(str(refusal))
    else:
        assert 0 <= seconds <= MAX_SECONDS


def test_a_moment_without_a_zone_is_local(zone: Callable[[str], None]) -> None:
    zone("JKT-7")
    assert moment("2030-01-31T18:00") == datetime(2030, 1, 31, 11, tzinfo=UTC).timestamp()
    zone("UTC0")
    assert moment("2030-01-31T18:00") == datetime(2030, 1, 31, 18, tzinfo=UTC).timestamp()


def test_a_local_moment_heeds_summer_time(zone: Callable[[str], None]) -> None:
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    assert moment("2030-01-31T12:00") == datetime(2030, 1, 31, 11, tzinfo=UTC).timestamp()
    assert moment("2030-07-31T12:00") == datetime(2030, 7, 31, 10, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("2030-01-31T18:00Z", datetime(2030, 1, 31, 18, tzinfo=UTC)),
        ("2030-01-31T18:00+00:00", datetime(2030, 1, 31, 18, tzinfo=UTC)),
        ("2030-01-31T18:00+07:00", datetime(2030, 1, 31, 11, tzinfo=UTC)),
        ("2030-01-31 18:00:30.5-02:30", datetime(2030, 1, 31, 20, 30, 30, 500_000, tzinfo=UTC)),
        (" 20300131T180000Z\n", datetime(2030, 1, 31, 18, tzinfo=UTC)),
    ],
)
def test_a_moment_with_a_zone_is_the_same_everywhere(
    zone: Callable[[str], None], text: str, there: datetime
) -> None:
    zone("JKT-7")
    assert moment(text) == there.timestamp()


def test_a_date_alone_is_its_local_midnight(zone: Callable[[str], None]) -> None:
    zone("JKT-7")
    assert moment("2030-01-31") == datetime(2030, 1, 30, 17, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "tomorrow",
        "18:00",
        "2030-02-30",
        "2030-13-01",
        "2030-01-31T25:00",
        "2030-01-31T18:00+99:00",
        "31.01.2030",
        "1893456000",
        "10000-01-01",
        "-1",
        "２０３０-01-31",  # noqa: RUF001
        "\ud800",
        "2030-01-31\0",
        "x" * 100_000,
    ],
)
def test_what_is_no_moment_is_refused_by_name_in_one_short_line(text: str) -> None:
    with pytest.raises(
        BadOption, match=r"^--at: .* is not a time; write 2030-01-31T18:00"
    ) as refusal:
        moment(text, "--at")
    assert_is_one_short_line(str(refusal.value))


@given(
    st.text()
    | st.datetimes().map(datetime.isoformat)
    | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
)
def test_no_text_gives_a_moment_without_bounds_or_an_error_of_another_kind(text: str) -> None:
    try:
        seconds = moment(text)
    except BadOption as refusal:
        assert_is_one_short_line(str(refusal))
    else:
        assert math.isfinite(seconds)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 31)))  # noqa: DTZ001
def test_a_moment_that_is_shown_reads_back_the_same_to_the_millisecond(there: datetime) -> None:
    seconds = there.replace(tzinfo=UTC).timestamp()
    # In far years, two neighbouring numbers lie 30 us apart.
    assert abs(moment(iso(seconds)) - seconds) <= 0.001 + math.ulp(seconds)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_every_moment_that_is_taken_can_be_shown(text: str) -> None:
    try:
        seconds = moment(text)
    except BadOption:
        return  # refusing it is as good
    iso(seconds)


@pytest.mark.parametrize("at", [YEAR_9999 + 1, 3e11, MAX_SECONDS * 100, -MAX_SECONDS * 100])
def test_every_due_time_that_is_taken_can_be_shown(at: float) -> None:
    try:
        due_at = due(Options(at=at), 1e9)
    except BadOption:
        return  # refusing it is as good
    iso(due_at)


def test_a_moment_is_shown_in_utc_whatever_the_zone(zone: Callable[[str], None]) -> None:
    zone("JKT-7")
    assert iso(0.0) == "1970-01-01T00:00:00.000+00:00"
    assert iso(1893456000.1234) == "2030-01-01T00:00:00.123+00:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0.00s"),
        (0.0, "0.00s"),
        (0.25, "0.25s"),
        (9.5, "9.50s"),
        (10.0, "10s"),
        (59.9, "59s"),
        (60.0, "1m 0s"),
        (200.0, "3m 20s"),
        (3600.0, "1h 0m"),
        (187200.0, "2d 4h"),
        (MAX_SECONDS, "36500d 0h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert human(seconds) == text


@given(st.text(max_size=80))
def test_whatever_was_typed_is_shown_in_one_line_that_can_be_printed(text: str) -> None:
    line = quoted(text)
    line.encode()
    assert line.isprintable()
    assert len(line) <= 60 * len("\\U00000000") + 2


def assert_is_one_short_line(message: str) -> None:
    message.encode()
    assert message.isprintable()
    assert len(message) < 800
