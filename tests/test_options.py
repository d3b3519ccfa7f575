"""Options of a declaration that go with the job: `SendEmail(...).options(queue="urgent")`."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Job
from prokerja.errors import BadOption, RequestError
from prokerja.options import checked_options

if TYPE_CHECKING:
    from prokerja.model.job_record import JobRecord
    from tests.harness.home import Home


@dataclass
class Send(Job):
    to: str = "you"

    priority = 7
    retries = 2
    timeout = 120

    def handle(self) -> None:
        pass


def due_in(job: JobRecord) -> float:
    """Seconds from its declaration until it is due."""
    return (job.due_at - job.declared_at).total_seconds()


def test_a_job_is_declared_with_the_options_that_it_carries(home: Home) -> None:
    asked = Send("Ann").options(queue="urgent", retries=5, retry_after=9, timeout=60, label="l")
    id = home.queue.declare(asked)
    job, detail = home.queue.job(id), home.job(id)
    assert (job.job, job.payload, job.queue, job.label) == ("send", {"to": "Ann"}, "urgent", "l")
    assert (job.retries, detail["retry_after"], detail["timeout"]) == (5, 9.0, 60.0)
    assert job.priority == 7


def test_each_of_many_jobs_has_its_own_options_or_none(home: Home) -> None:
    jobs = [Send().options(queue=f"q{n}", delay=n, batch="b") for n in range(1, 600)]
    ids = home.queue.declare_many([*jobs, Send()])
    assert [home.queue.job(ids[n]).queue for n in (0, 598, 599)] == ["q1", "q599", "default"]
    assert due_in(home.queue.job(ids[598])) == pytest.approx(599, abs=0.01)
    assert [home.queue.job(ids[n]).batch for n in (598, 599)] == ["b", None]


def test_what_declare_is_given_goes_before_what_the_job_carries(home: Home) -> None:
    asked = Send().options(queue="carried", retries=5, delay=60, label="carried")
    ids = [home.queue.declare(asked, queue="given", at=datetime(2200, 1, 1), timeout=None)]  # noqa: DTZ001
    ids += home.queue.declare_many([asked, Send()], retries=0)
    first, second, third = map(home.queue.job, ids)
    assert (first.queue, first.retries, first.label) == ("given", 5, "carried")
    assert first.due_at.astimezone().year == 2200
    assert (second.queue, second.retries, third.queue, third.retries) == (
        "carried", 0, "default", 0
    )  # fmt: skip
    assert due_in(second) == pytest.approx(60, abs=0.01)
    assert asked == Send().options(queue="carried", retries=5, delay=60, label="carried")


def test_an_explicit_no_goes_before_a_carried_yes() -> None:
    carried = Send().options(hold=True, after=[1, 2], if_parent_fails="run")
    assert carried.terms.after == (1, 2)
    terms = carried.overridden({"hold": False, "if_parent_fails": "cancel"}).terms
    assert (terms.hold, terms.after, terms.if_parent_fails) == (False, (1, 2), "cancel")


def test_a_follow_up_takes_them_too(home: Home) -> None:
    id = home.run("self.declare(Run('pass').options(queue='urgent', retries=3), retries=4)")
    home.work()
    follow_up = home.queue.job(id + 1)
    assert (follow_up.queue, follow_up.retries) == ("urgent", 4)


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"colour": "red"}, RequestError, "unknown option colour; there are queue, priority, "),
        ({"queue": ""}, BadOption, "queue: '' does not fit"),
        ({"queue": ["a"]}, BadOption, "queue: "),
        ({"label": ["a"]}, BadOption, "label: "),
        ({"retries": -1}, BadOption, "retries: '-1' does not fit"),
        ({"timeout": "5m"}, BadOption, "timeout: '5m' does not fit"),
        ({"delay": -1}, BadOption, "delay: '-1' s is not between"),
        ({"delay": 1, "at": 5}, BadOption, "give either a delay or a time"),
        ({"at": "tomorrow"}, BadOption, "at: 'tomorrow'"),
        ({"expires": "x"}, BadOption, "expires: 'x'"),
        ({"hold": "yes"}, BadOption, "hold: 'yes' does not fit; give True or False"),
        ({"after": "7"}, BadOption, "after: '7' does not fit"),
        ({"after": 1.5}, BadOption, "after: 1.5 is no id"),
        ({"after": [0]}, BadOption, "after: '0' does not fit"),
        ({"replace": True}, BadOption, "replace goes with coalesce"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_where_it_is_given(
    options: dict[str, Any], error: type[RequestError], why: str
) -> None:
    with pytest.raises(error, match=f"^{why}") as caught:
        Send().options(**options)
    assert "\n" not in str(caught.value)


def test_values_that_are_equal_are_not_taken_for_each_other() -> None:
    assert Send().options(retries=1).terms.retries == 1
    with pytest.raises(BadOption, match=r"^retries: 'True'"):
        Send().options(retries=True)
    early = datetime(2030, 10, 27, 2, 30)  # noqa: DTZ001
    for fold in (0, 1):
        at = checked_options({"at": early.replace(fold=fold)}).at
        assert isinstance(at, datetime)
        assert at.fold == fold


def test_what_carries_options_cannot_be_changed() -> None:
    asked = Send("Ann").options(after=[1])
    with pytest.raises(AttributeError):
        asked.job = Send()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        asked.terms.queue = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(asked)) == asked


@dataclass
class Configure(Job):
    options: dict[str, Any] = field(default_factory=dict)  # type: ignore[assignment]

    def handle(self) -> None:
        pass


def test_a_field_called_options_is_a_field(home: Home) -> None:
    job = Configure({"a": 1})
    assert job.options == {"a": 1}
    id = home.queue.declare(job, priority=4)
    assert (home.queue.job(id).payload, home.queue.job(id).priority) == ({"options": {"a": 1}}, 4)


def test_a_class_of_its_own_takes_keywords(home: Home) -> None:
    @dataclass
    class Other:
        options: str = "mine"

        def handle(self) -> None:
            pass

    id = home.queue.declare(Other(), priority=4)
    assert home.queue.job(id).payload == {"options": "mine"}
