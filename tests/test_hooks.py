"""Hooks on a job: methods by which its class follows what becomes of it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

WATCHED = """
import ctypes, os, signal, time
from dataclasses import dataclass

from prokerja import Await, GiveUp, Job, Later


def note(*words):
    with open("{home}/ledger", "a") as file:
        print(*words, file=file)


def wait_for(gate):
    while not os.path.exists("{home}/" + gate):
        time.sleep(0.005)


@dataclass
class Watched(Job):
    code: str = "pass"
    again: bool | None = None
    delay: float | None = 0.0
    fails_in: str = ""
    hangs_in: str = ""
    dies_in: str = ""

    def handle(self):
        scope = {{**globals(), "self": self}}
        exec("def body():\\n    " + self.code.replace("\\n", "\\n    "), scope)
        return scope["body"]()

    def heard(self, hook, *words):
        note(hook, *words)
        if hook == self.fails_in:
            raise RuntimeError("in the hook")
        if hook == self.hangs_in:
            wait_for("gate")
        if hook == self.dies_in and not os.path.exists("{home}/dead"):
            open("{home}/dead", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def should_retry(self, attempt, error):
        self.heard("should_retry", attempt, type(error).__name__)
        return self.again

    def retry_delay(self, attempt):
        return self.delay

    def failed(self, error):
        self.heard("failed", error)

    def cleanup(self):
        self.heard("cleanup")

    def status_changed(self, old, new, message):
        self.heard("status_changed", old, new, message)

    def description(self):
        self.heard("description")
        return "the watched one"
"""


@pytest.fixture
def watched(home: Home) -> Home:
    """A home with a job that has every hook."""
    home.write("watched.py", WATCHED.format(home=home.path))
    return home


def declare(home: Home, code: str = "pass", **more: Any) -> int:
    options: dict[str, Any] = {key: more.pop(key) for key in ("retries", "timeout") if key in more}
    return home.declare_job("watched", code=code, options=options, **more)


FAIL = "raise ValueError('no')"


def named(id: int) -> str:
    """A job as the log names it once it has said what it is about."""
    return f"job {id} watched (the watched one)"


def test_a_completed_job_cleans_up(watched: Home) -> None:
    id = declare(watched, "note('handle')\nreturn 7")
    watched.work()
    assert watched.job(id)["result"] == 7
    assert watched.ledger() == [
        "status_changed pending processing attempt 1",
        "description",
        "handle",
        "status_changed processing completed ",
        "cleanup",
    ]
    assert not watched.job(id)["hooks_due"]


def test_a_result_that_is_too_long_is_cut_as_usual(watched: Home) -> None:
    id = declare(watched, "return 'x' * 2**17")
    watched.work()
    assert watched.job(id)["status"] == "completed"
    assert json.loads(watched("result", id).out)["cut"]
    assert watched.ledger()[-1] == "cleanup"


def test_a_failing_job_is_asked_before_each_retry_and_told_once_at_the_end(watched: Home) -> None:
    id = declare(watched, FAIL, retries=2)
    watched.work()
    job = watched.job(id)
    assert (job["status"], job["attempts"]) == ("failed", 3)
    notes = [line for line in watched.ledger() if "pending processing" not in line]
    assert notes == [
        "description",
        "should_retry 1 ValueError",
        "status_changed processing pending ValueError: no",
        "description",
        "should_retry 2 ValueError",
        "status_changed processing pending ValueError: no",
        "description",
        "failed ValueError: no",
        "status_changed processing failed ValueError: no",
        "cleanup",
    ]


def test_a_class_may_refuse_a_retry(watched: Home) -> None:
    id = declare(watched, FAIL, retries=2, again=False)
    watched.work()
    job = watched.job(id)
    assert (job["status"], job["attempts"], job["error"]) == ("failed", 1, "ValueError: no")
    assert "failed ValueError: no" in watched.ledger()


def test_a_class_may_say_when_to_retry(watched: Home) -> None:
    id = declare(watched, FAIL, retries=2, delay=3600)
    watched.work()
    assert watched.job(id)["status"] == "pending"
    assert "it is due in 59m" in watched.job(id)["why_not_running"]


@pytest.mark.parametrize("delay", ["soon", -1.0])
def test_a_delay_that_is_none_is_told_and_the_usual_one_holds(watched: Home, delay: Any) -> None:
    id = declare(watched, FAIL, retries=1, delay=delay)
    worker = watched.work()
    assert watched.job(id)["status"] == "pending"
    assert f"{named(id)}: retry_delay went wrong: ValueError: it returned no" in worker.said()


def test_one_that_gives_up_is_told_and_one_that_waits_is_not(watched: Home) -> None:
    given_up = declare(watched, "return GiveUp('over')", retries=3)
    parked = declare(watched, "return Await()")
    watched.work()
    assert watched.job(given_up)["status"] == "failed"
    ends = [line for line in watched.ledger() if "attempt" not in line and "desc" not in line]
    assert ends == ["failed over", "status_changed processing failed over", "cleanup"]
    watched.queue.resolve(parked, 1)
    watched.work()
    assert watched.ledger()[-1] == "cleanup"


HOOKS = ["status_changed", "failed", "cleanup", "description", "should_retry"]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_error_in_a_hook_is_told_with_the_job_and_changes_nothing(
    watched: Home, hook: str
) -> None:
    id = declare(watched, FAIL, retries=1, fails_in=hook)
    done = declare(watched, "return 1", fails_in=hook)
    worker = watched.work()
    assert (watched.job(id)["status"], watched.job(id)["attempts"]) == ("failed", 2)
    assert watched.job(done)["status"] == "completed"
    name = f"job {id} watched" if hook == "description" else named(id)
    said = f"{name}: {hook} went wrong: RuntimeError: in the hook"
    assert said in worker.said()
    assert watched.ledger().count("cleanup") == 2


def test_a_hook_that_kills_its_process_changes_nothing_and_they_run_again(watched: Home) -> None:
    id = declare(watched, "note('handle')\nreturn 7", dies_in="cleanup")
    failed = declare(watched, FAIL, dies_in="failed")
    watched.work()
    assert watched.job(id)["result"] == 7
    assert (watched.job(failed)["status"], watched.job(failed)["error"]) == (
        "failed",
        "ValueError: no",
    )
    assert watched.ledger().count("handle") == 1
    assert watched.ledger().count("cleanup") in (2, 3)
    assert watched.look("SELECT * FROM untold") == []


def test_hooks_have_the_time_limit_of_their_job_and_changes_nothing(watched: Home) -> None:
    id = declare(watched, "return 7", timeout=1.0, hangs_in="cleanup")
    worker = watched.worker()
    job = watched.wait(id)
    assert job["result"] == 7
    wait_until(lambda: watched.ledger().count("cleanup") >= 2)
    watched.open("gate")
    wait_until(lambda: not watched.job(id)["hooks_due"])
    assert f"{named(id)}: hooks went wrong: ran longer than 1 s" in worker.said()
    next_one = declare(watched)
    watched.wait(next_one)


def test_a_job_that_dies_with_its_process_is_told_in_a_fresh_one(watched: Home) -> None:
    id = declare(watched, "note(os.getpid())\nos.kill(os.getpid(), signal.SIGKILL)")
    watched.work()
    job = watched.job(id)
    assert job["status"] == "failed"
    assert watched.ledger()[-3:] == [
        f"failed {job['error']}",
        f"status_changed processing failed {job['error']}",
        "cleanup",
    ]
    assert "killed by SIGKILL" in job["error"]


def test_a_job_that_runs_too_long_or_is_cancelled_is_told(watched: Home) -> None:
    late = declare(watched, "wait_for('never')", timeout=0.2)
    watched.worker()
    watched.wait(late, "failed")
    wait_until(lambda: "failed ran longer than 0.2 s" in watched.ledger())
    running = declare(watched, "wait_for('never')")
    wait_until(lambda: watched.running(running))
    watched.queue.cancel(running)
    watched.wait(running, "failed")
    wait_until(lambda: "failed cancelled" in watched.ledger())
    wait_until(lambda: watched.ledger().count("cleanup") == 2)
    wait_until(lambda: watched.look("SELECT * FROM untold") == [])


def test_a_pending_job_that_was_cancelled_is_told_once_there_is_a_worker(watched: Home) -> None:
    declare(watched)
    watched.work()
    id = watched.declare_job("watched", options={"delay": 3600})
    parked = declare(watched, "return Await()")
    watched.work()
    watched.queue.cancel(id, why="late")
    watched.queue.cancel(parked)
    assert watched.job(id)["hooks_due"]
    said = "hooks:       a worker has yet to run those that hear of its end"
    assert said in watched.cli("report:job", id)
    before = len(watched.ledger())
    watched.work()
    assert watched.ledger()[before:] == [
        "failed cancelled: late",
        "status_changed pending failed cancelled: late",
        "cleanup",
        "failed cancelled",
        "status_changed processing failed cancelled",
        "cleanup",
    ]
    assert not watched.job(id)["hooks_due"]
    watched.work()
    assert watched.ledger().count("failed cancelled: late") == 1
    assert watched.report()[3] == 2


def test_they_run_though_the_worker_is_killed_meanwhile(watched: Home) -> None:
    id = declare(watched, "wait_for('never')", hangs_in="cleanup")
    worker = watched.worker()
    wait_until(lambda: watched.running(id))
    watched.queue.cancel(id)
    wait_until(lambda: "cleanup" in watched.ledger())
    worker.kill()
    assert watched.job(id)["hooks_due"]
    watched.open("gate")
    watched.work()
    assert not watched.job(id)["hooks_due"]
    assert watched.ledger().count("cleanup") == 2
    assert watched.job(id)["attempts"] == 1


def test_hooks_that_never_end_well_are_given_up(watched: Home) -> None:
    watched.write(
        "dying.py",
        """
        import os, signal
        from prokerja import Job

        class Dying(Job):
            def payload(self):
                return {}

            def handle(self):
                os.kill(os.getpid(), signal.SIGKILL)

            cleanup = handle
        """,
    )
    id = watched.declare_job("dying")
    worker = watched.work()
    assert watched.job(id)["status"] == "failed"
    assert worker.said().count(f"job {id} dying: hooks went wrong: its process was killed") == 5
    assert watched.look("SELECT * FROM untold") == []


def test_a_fresh_start_is_told_of_no_earlier_end(watched: Home) -> None:
    declare(watched)
    watched.work()
    id = watched.declare_job("watched", options={"delay": 3600})
    watched.queue.cancel(id)
    watched.queue.retry(id)
    watched.work()
    assert watched.job(id)["status"] == "completed"
    assert "failed cancelled" not in watched.ledger()


def test_a_job_says_what_it_is_about(watched: Home) -> None:
    id = declare(watched, "wait_for('gate')")
    worker = watched.worker()
    wait_until(lambda: watched.running(id))
    wait_until(lambda: watched.job(id)["description"] == "the watched one")
    assert watched.cli("report:jobs").split("\t")[-1] == "the watched one\n"
    assert "about:       the watched one" in watched.cli("report:job", id)
    wait_until(lambda: f"job {id} watched (the watched one): attempt 1 is running" in worker.said())
    worker.send(signal.SIGTERM)
    watched.open("gate")
    assert worker.end() == 0


def test_fields_of_these_names_are_fields(home: Home) -> None:
    home.write(
        "plain.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Plain(Job):
            description: str
            failed: bool = False
            cleanup: int = 3

            def handle(self):
                return [self.description, self.failed, self.cleanup]
        """,
    )
    id = home.declare_job("plain", description="x")
    worker = home.work()
    assert home.job(id)["result"] == ["x", False, 3]
    assert home.job(id)["description"] is None
    assert "went wrong" not in worker.said()
    assert home.look("SELECT * FROM hooked") == []


def test_a_class_without_hooks_has_no_rows(home: Home) -> None:
    home.run("os.kill(os.getpid(), signal.SIGKILL)")
    cancelled = home.run("pass", delay=3600)
    home.queue.cancel(cancelled)
    home.work()
    assert home.look("SELECT * FROM hooked") == home.look("SELECT * FROM untold") == []
    assert home.look("SELECT * FROM description") == []
