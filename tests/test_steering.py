"""What a job says instead of a result, told to a real worker: Later and GiveUp."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Await, GiveUp, Later
from prokerja.errors import BadOption
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

STEER = "from prokerja import Await, GiveUp, Later"
FIRST = "if not ledger_has('once'):\n    note('once')\n    "
SAYS = f"""
{STEER}
def ledger_has(line):
    return os.path.exists(LEDGER) and line in open(LEDGER).read().split()
"""


def said(what: str) -> str:
    """The body of a job that says this the first time, and completes the second time."""
    return f"{SAYS}{FIRST}{what}"


@pytest.mark.parametrize("how", ["return", "raise"])
def test_later_runs_a_job_again_in_time_and_uses_no_attempt(home: Home, how: str) -> None:
    id = home.run(said(f"{how} Later(0.3)"))
    home.worker()
    wait_until(home.ledger)
    job = home.wait(id)
    assert (job["attempts"], job["error"]) == (1, None)
    [attempt] = job["history"]
    assert (attempt["attempt"], attempt["error"]) == (1, None)
    assert home.look("SELECT postponed, started_at >= due_at FROM declaration") == [(1, 1)]
    assert home.look("SELECT * FROM attempt") == []


def test_what_is_to_run_later_is_pending_until_then(home: Home) -> None:
    id = home.run(f"{STEER}\nimport datetime\nreturn Later(datetime.timedelta(hours=1))")
    worker = home.work()
    job = home.job(id)
    assert (job["status"], job["attempts"]) == ("pending", 0)
    assert "it is due in 59m" in job["why_not_running"]
    assert f"job {id} run: to be run again in 1h 0m" in worker.said()


@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_job_that_gives_up_has_failed_whatever_its_retries(home: Home, how: str) -> None:
    id = home.run(f"{STEER}\n{how} GiveUp('no such\\ncustomer')", retries=3, retry_after=0)
    home.work()
    job = home.job(id)
    assert (job["status"], job["attempts"], job["error"]) == ("failed", 1, "no such customer")
    assert job["history"][0]["traceback"] is None


def test_a_job_that_gives_up_because_of_an_error_keeps_its_traceback(home: Home) -> None:
    id = home.run(
        f"""
        {STEER}
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise GiveUp("cannot") from error
        """
    )
    home.work()
    assert "ZeroDivisionError: division by zero" in home.job(id)["history"][0]["traceback"]


@pytest.mark.parametrize("what", ["Later(0)", "Await()", "GiveUp('no')"])
def test_what_it_has_declared_exists_only_if_it_completes(home: Home, what: str) -> None:
    code = f"{SAYS}self.declare(Run('pass'))\n{FIRST}return {what}"
    id = home.run(code)
    home.work()
    status = {"L": "completed", "A": "processing", "G": "failed"}[what[0]]
    assert home.job(id)["status"] == status
    assert len(home.look("SELECT * FROM declaration")) == (2 if what == "Later(0)" else 1)


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("Later(-1)", "BadOption: Later(-1): give a number of seconds, 0 or more"),
        ("Later(float('nan'))", "BadOption: Later(nan): give a number"),
        ("Later(10 ** 5000)", "BadOption: Later(a huge number): give"),
        ("GiveUp(7)", "BadOption: GiveUp(7): give a reason in words"),
        ("Await(0)", "BadOption: Await(0): give a number of seconds above 0"),
        ("changed", "BadOption: Later('soon'): give a number"),
        ("Own()", "TypeError: Own is none of Later, GiveUp and Await"),
        ("Unmade(1)", "AttributeError: 'Unmade' object has no attribute 'seconds'"),
    ],
)
@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_bad_one_fails_the_attempt_and_says_why(
    home: Home, what: str, complaint: str, how: str
) -> None:
    id = home.run(
        f"""
        {STEER}
        from prokerja.steering import Steering
        changed = Later(1)
        changed.seconds = "soon"
        Own = type("Own", (Steering,), {{}})
        Unmade = type("Unmade", (Later,), {{"__init__": lambda self, n: None}})
        {how} {what}
        """
    )
    home.work()
    job = home.job(id)
    assert job["status"] == "failed"
    assert job["error"].startswith(complaint)


def test_a_job_that_does_not_inherit_may_say_it_too(home: Home) -> None:
    home.write(
        "plain.py",
        """
        from prokerja import GiveUp

        class Plain:
            def __init__(self, why):
                self.why = why

            def payload(self):
                return {"why": self.why}

            def handle(self):
                return GiveUp(self.why)
        """,
    )
    id = home.declare_job("plain", why="nobody is there")
    home.work()
    assert home.job(id)["error"] == "nobody is there"


def test_what_was_said_before_the_worker_was_killed_is_not_forgotten(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    worker.stopped_realizer().resume()
    [realizer] = worker.realizers()
    [first, *_] = home.run_each(
        [f"{STEER}\nnote('x')\nreturn GiveUp('over')", "note('held'); wait_for('never')"]
    )
    wait_until(lambda: "held" in home.ledger())
    worker.kill()
    wait_until(lambda: not realizer.is_running())
    home.worker()
    assert home.wait(first, "failed")["error"] == "over"
    assert home.ledger().count("x") == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Later, -1),
        (Later, math.inf),
        (Later, True),
        (Await, math.nan),
        (GiveUp, ""),
        (GiveUp, None),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_said(kind: Any, value: Any) -> None:
    with pytest.raises(BadOption, match=f"^{kind.__name__}\\("):
        kind(value)


def test_durations_are_seconds_or_timedeltas() -> None:
    assert Later(timedelta(minutes=2)).seconds == 120
    assert Await(timedelta(days=1)).timeout == 86400
    assert Await().timeout is None
