"""Rates as people write them, and as they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prokerja.errors import BadOption
from prokerja.flow.rates import human, parse_rate
from prokerja.model.flow import Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/min", (10, 60)),
        ("10/m", (10, 60)),
        ("1/minute", (1, 60)),
        ("3/s", (3, 1)),
        ("3/sec", (3, 1)),
        ("3/second", (3, 1)),
        ("100/h", (100, 3600)),
        ("100/hour", (100, 3600)),
        ("5/d", (5, 86400)),
        ("5/day", (5, 86400)),
        ("5/30s", (5, 30)),
        ("5/2m", (5, 120)),
        ("5/0.5", (5, 0.5)),
        (" 1000000/366d\n", (1_000_000, 366 * 86400)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: tuple[int, float]) -> None:
    assert parse_rate(text) == Rate(*rate)


@pytest.mark.parametrize(
    "text",
    ["", "10", "/min", "10/", "10 min", "0/min", "-1/min", "1.5/min", "1000001/h", "\u0661/min",
     "9" * 5000 + "/min", "5/0", "5/0s", "5/367d", "5/fortnight", "5/-1s", "5/min/min"],
)  # fmt: skip
def test_what_is_not_a_rate_is_refused_by_its_flag(text: str) -> None:
    with pytest.raises(BadOption, match=r"^--rate: '") as refusal:
        parse_rate(text, "--rate")
    assert len(str(refusal.value)) < 160


@given(st.integers(1, 1_000_000), st.integers(1, 366 * 86400 * 1000))
def test_what_is_shown_is_read_as_the_same(starts: int, milliseconds: int) -> None:
    rate = Rate(starts, milliseconds / 1000)
    assert parse_rate(human(rate)) == rate


def test_usual_rates_are_shown_as_they_are_written() -> None:
    assert [human(parse_rate(text)) for text in ("10/min", "5/30s", "2/d", "1/90")] == [
        "10/min", "5/30s", "2/d", "1/90s",
    ]  # fmt: skip
