"""The rules of a declaration's life: which changes there are, and how long to wait between."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prokerja.lifecycle import (
    DAY,
    JITTER,
    MAX_CRASHES,
    MAX_RELEASES,
    TRANSITIONS,
    may_release,
    may_retry,
    retry_pause,
    survives_crash,
)
from prokerja.model.declaration import Status

CHANCES = st.floats(0, 1, exclude_max=True)
WAITS = st.floats(0, 1e300)
ATTEMPTS = st.integers(1, 100_000)


def test_there_are_exactly_four_statuses() -> None:
    assert [status.value for status in Status] == ["pending", "processing", "completed", "failed"]


def test_every_change_of_status_is_one_of_six() -> None:
    assert {(a.value, b.value) for a, b in TRANSITIONS} == {
        ("pending", "processing"),
        ("pending", "failed"),
        ("processing", "completed"),
        ("processing", "failed"),
        ("processing", "pending"),
        ("failed", "pending"),
    }


def test_a_completed_job_never_becomes_anything_else() -> None:
    assert not any(before is Status.COMPLETED for before, _ in TRANSITIONS)


def test_only_what_was_in_a_workers_hands_can_complete() -> None:
    completes = {before for before, after in TRANSITIONS if after is Status.COMPLETED}
    assert completes == {Status.PROCESSING}


@pytest.mark.parametrize(
    ("retry_after", "attempt", "seconds"),
    [
        (10, 1, 10),
        (10, 2, 20),
        (10, 3, 40),
        (10, 10, 5120),
        (0.5, 4, 4),
        (60, 11, 61440),
        (60, 12, DAY),
        (DAY, 1, DAY),
        (2 * DAY, 1, DAY),
        (1e300, 1000, DAY),
        (0, 1, 0),
        (0, 1000, 0),
    ],
)
def test_the_wait_doubles_with_each_attempt_up_to_a_day(
    retry_after: float, attempt: int, seconds: float
) -> None:
    assert retry_pause(retry_after, attempt, 0.5) == seconds


def test_chance_moves_the_wait_by_ten_per_cent_either_way_and_no_more() -> None:
    assert retry_pause(100, 1, 0.0) == pytest.approx(90)
    assert retry_pause(100, 1, 0.25) == pytest.approx(95)
    assert retry_pause(100, 1, 0.75) == pytest.approx(105)
    assert retry_pause(100, 1, 1 - 1e-12) == pytest.approx(110)
    assert pytest.approx(0.1) == JITTER


@given(WAITS, ATTEMPTS, CHANCES)
def test_no_wait_is_negative_endless_or_longer_than_a_day_and_a_tenth(
    retry_after: float, attempt: int, chance: float
) -> None:
    assert 0 <= retry_pause(retry_after, attempt, chance) <= DAY * 1.1


@given(WAITS, ATTEMPTS, CHANCES)
def test_every_wait_lies_within_ten_per_cent_of_the_doubled_one(
    retry_after: float, attempt: int, chance: float
) -> None:
    exact = retry_pause(retry_after, attempt, 0.5)
    wait = retry_pause(retry_after, attempt, chance)
    assert exact * 0.9 <= wait * (1 + 1e-12)
    assert wait <= exact * 1.1 * (1 + 1e-12)


@given(st.floats(1e-6, 1e6), st.integers(1, 60), CHANCES)
def test_the_next_wait_is_twice_as_long_until_the_day_is_full(
    retry_after: float, attempt: int, chance: float
) -> None:
    wait = retry_pause(retry_after, attempt, chance)
    following = retry_pause(retry_after, attempt + 1, chance)
    doubled = min(2 * wait, DAY * (1 + JITTER * (2 * chance - 1)))
    assert following == pytest.approx(doubled)


@given(WAITS, ATTEMPTS, CHANCES, CHANCES)
def test_more_chance_is_never_a_shorter_wait(
    retry_after: float, attempt: int, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert retry_pause(retry_after, attempt, less) <= retry_pause(retry_after, attempt, more)


@pytest.mark.parametrize("retries", [0, 1, 3, 1000])
def test_a_job_is_attempted_once_more_than_it_has_retries(retries: int) -> None:
    attempts = next(n for n in itertools.count(1) if not may_retry(n, retries))
    assert attempts == retries + 1


def test_a_job_comes_back_for_nothing_twenty_times_and_not_once_more() -> None:
    assert MAX_RELEASES == 20
    assert [may_release(releases) for releases in range(22)] == [True] * 20 + [False] * 2


def test_a_job_survives_the_death_of_five_workers_and_not_of_six() -> None:
    assert MAX_CRASHES == 5
    assert [survives_crash(crashes) for crashes in range(1, 8)] == [True] * 5 + [False] * 2
