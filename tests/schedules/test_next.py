"""`prokerja schedule:next`, as people call it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.harness.terminal import Terminal

if TYPE_CHECKING:
    from tests.harness.home import Home

BERLIN = ("--zone", "Europe/Berlin")
FIXED = "at 2100-03-28T02:00:00+02:00"


def test_in_a_pipe_there_is_a_line_for_each_time(home: Home) -> None:
    told = home("schedule:next", "30 2 * * *", *BERLIN, "--count", "3")
    assert told.code == 0
    times = [[datetime.fromisoformat(cell) for cell in row] for row in told.cells]
    assert len(times) == 3
    assert all(utc == local and f"{local:%H:%M}" == "02:30" for utc, local in times)
    assert "02:30 does not come, and it runs at 03:00 instead" in told.err
    assert "02:30 comes twice, and it runs the first time" in told.err


def test_words_need_no_quotes(home: Home) -> None:
    told = home("schedule:next", "weekly", "mon", "09:00", "--zone", "UTC", "--count", "1")
    [[utc, _]] = told.cells
    assert f"{datetime.fromisoformat(utc):%a %H:%M}" == "Mon 09:00"
    assert told.err == ""


def test_json_says_all(home: Home) -> None:
    answer = home.ask("schedule:next", FIXED, *BERLIN)
    assert answer == {
        "rule": "at 2100-03-28T00:00:00Z",
        "zone": "Europe/Berlin",
        "words": "Once, at 2100-03-28T00:00:00Z",
        "next": [{"at": "2100-03-28T00:00:00.000+00:00", "local": "2100-03-28T01:00:00+01:00"}],
        "clock_changes": [],
    }
    assert len(home.ask("schedule:next", "@hourly", *BERLIN, "--count", "30")["next"]) == 30


def test_a_terminal_is_told_in_words(home: Home) -> None:
    code, text = Terminal(home, "schedule:next", "30 2 * * *", *BERLIN, "--count", "2").end()
    assert code == 0
    assert "At 02:30 every day, by the clock of Europe/Berlin." in text
    assert text.count(" 02:30:00 +0") == 2
    assert "it runs at 03:00 instead." in text


@pytest.mark.parametrize(
    ("tz", "name"),
    [("Europe/Berlin", "Europe/Berlin"), (":Asia/Tokyo", "Asia/Tokyo"), ("UTC", "UTC")],
)
def test_the_zone_is_that_of_the_machine_by_its_name(home: Home, tz: str, name: str) -> None:
    home.in_environment({"TZ": tz})
    assert home.ask("schedule:next", "hourly")["zone"] == name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["61 * * * *"], "cron: '61' is no minute, in '61 * * * *'"),
        (["hourly", "--zone", "Nowhere"], "zone: 'Nowhere' is no time zone"),
        (["hourly", "--zone", ""], "zone: '' is no time zone"),
        (["hourly", "--count", "0"], "count: 0 does not fit; give a whole number from 1 to"),
        (["hourly", "--count", "10001"], "count: 10001 does not fit"),
        (["hourly", "--count", "many"], "'many' is not a whole number"),
        ([], "Missing argument 'EXPR...'"),
    ],
)
def test_bad_input_has_a_line_and_makes_no_file(home: Home, words: list[str], line: str) -> None:
    told = home("schedule:next", *words)
    assert (told.code, told.out) == (2, "")
    assert line in told.err
    assert told.err.count("\n") == 1
    assert not home.db.exists()


@pytest.mark.parametrize("tz", ["CET-1CEST,M3.5.0,M10.5.0/3", "Nowhere/Nowhere"])
def test_a_zone_without_a_name_is_not_taken_for_another(home: Home, tz: str) -> None:
    home.in_environment({"TZ": tz})
    told = home("schedule:next", "hourly")
    assert (told.code, told.out) == (2, "")
    assert "pass --zone" in told.err
