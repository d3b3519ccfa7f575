"""How jobs and realizers end: what they may still do, and what is said of it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from prokerja.worker.realizer.event_loop import cancel_tasks
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from types import FrameType

    from tests.harness.home import Home

EXIT_HANDLER = "import atexit; atexit.register(lambda: (time.sleep(0.5), note('left')))"
CLEAN_UP = """
try:
    note("begin")
    wait_for("never")
finally:
    time.sleep(0.2)
    note("cleaned up")
"""


@pytest.mark.parametrize("words", [("--until-empty",), ("--max-jobs", "1")])
def test_exit_handlers_run_when_a_worker_has_done_its_work(
    home: Home, words: tuple[str, ...]
) -> None:
    home.run(EXIT_HANDLER)
    assert home.worker(*words).end() == 0
    assert home.ledger() == ["left"]


def test_exit_handlers_run_when_a_worker_is_told_to_stop(home: Home) -> None:
    worker = home.worker()
    home.wait(home.run(EXIT_HANDLER))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert home.ledger() == ["left"]


def test_an_exit_handler_that_does_not_end_is_ended_with_the_grace_time(home: Home) -> None:
    worker = home.worker("--grace", "1s")
    home.wait(home.run("import atexit; atexit.register(lambda: wait_for('never'))"))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


def test_a_job_cleans_up_when_its_time_limit_is_over_and_one_line_tells_of_it(home: Home) -> None:
    id = home.run(CLEAN_UP, timeout=0.3)
    worker = home.work()
    assert home.ledger() == ["begin", "cleaned up"]
    assert home.job(id)["error"] == "ran longer than 0.3 s"
    assert "killed" not in worker.said()
    assert worker.said().count("longer than") == 1


def test_a_job_cleans_up_when_the_grace_time_is_over_and_goes_back(home: Home) -> None:
    id = home.run(CLEAN_UP)
    worker = home.worker("--grace", "0s")
    wait_until(lambda: home.running(id))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert home.ledger() == ["begin", "cleaned up"]
    assert home.statuses([id]) == ["pending"]
    assert home.job(id)["attempts"] == 0


LOOP = """
import asyncio, time
from dataclasses import dataclass
from jobs.run import note
from prokerja import Job

@dataclass
class Loop(Job):
    timeout = 2

    def handle(self):
        asyncio.run(self.main())

    async def main(self):
        try:
            BODY
        finally:
            note("cleaned up")

async def spin():
    while True:
        await asyncio.sleep(0)
"""


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.sleep(600)",
        "time.sleep(600)",
        "await spin()",
        "await asyncio.gather(*(spin() for _ in range(100)))",
    ],
    ids=["waits", "blocks", "spins", "spins in many tasks"],
)
def test_a_job_within_an_event_loop_cleans_up_too(home: Home, body: str) -> None:
    home.write("loop.py", LOOP.replace("BODY", body))
    id = int(home.cli("declare:job", "loop"))
    home.work()
    assert home.ledger() == ["cleaned up"]
    assert home.job(id)["error"] == "ran longer than 2 s"


async def spin() -> None:
    """Be in asyncio's own code most of the time."""
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_no_task_is_lost_wherever_the_signal_finds_the_loop() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        if not cancel_tasks(frame):
            raise SystemExit

    usual = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        for number in range(100):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.002 + number * 0.000_01)
            with pytest.raises((asyncio.CancelledError, SystemExit)):
                asyncio.run(spin())
    finally:
        signal.signal(signal.SIGVTALRM, usual)


def test_what_a_job_forks_is_ended_by_a_term_like_any_process(home: Home) -> None:
    id = home.run(
        """
        child = os.fork()
        if child == 0:
            try:
                wait_for("never")
            finally:
                note("the child came back")
        os.kill(child, signal.SIGTERM)
        return os.WTERMSIG(os.waitpid(child, 0)[1])
        """
    )
    home.work()
    assert home.job(id)["result"] == signal.SIGTERM
    assert home.ledger() == []


def test_an_own_kill_is_not_blamed_on_memory(home: Home) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote('begin')\nwait_for('never')"
    id = home.run(deaf)
    worker = home.worker()
    wait_until(lambda: home.running(id))
    worker.send(signal.SIGINT)
    wait_until(lambda: "stopping" in worker.said())
    worker.send(signal.SIGINT)
    assert worker.end(SOON) == 0
    assert "memory" not in worker.said()
    assert "its job goes back" in worker.said()


def test_a_kill_by_somebody_else_may_be_for_want_of_memory(home: Home) -> None:
    id = home.run("os.kill(os.getpid(), signal.SIGKILL)")
    home.work()
    assert "out-of-memory" in home.job(id)["error"]


def test_more_follow_ups_than_can_be_sent_fail_the_attempt_and_do_not_repeat_it(
    home: Home,
) -> None:
    id = home.run("note('ran')\nfor _ in range(80): self.declare(Run('#' * 1000000))")
    home.work()
    assert home.ledger() == ["ran"]
    assert home.job(id)["error"] == (
        "ValueError: the job declared more than 64 MiB; write it to files, declare the paths"
    )
    assert home.counts() == {"pending": 0, "processing": 0, "completed": 0, "failed": 1}


def test_long_results_and_follow_ups_of_quick_jobs_arrive_whole(home: Home) -> None:
    ids = home.run_each(["self.declare(Run('pass' + '#' * 900000))\nreturn '#' * 1000000"] * 40)
    home.work()
    assert set(home.statuses(ids)) == {"completed"}
    assert home.counts()["completed"] == 80


def test_a_job_that_ends_with_its_process_untold_has_used_its_attempt(home: Home) -> None:
    # It closes the file for notes, and the process ends as it reports.
    id = home.run(
        """
        note("ran")
        os.close(200)
        import prokerja.worker.wire.channel as wire
        wire.Channel.post = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    home.work()
    assert home.ledger() == ["ran"]
    job = home.job(id)
    assert (job["status"], job["returns"]) == ("failed", 0)
    assert "never reported what came of the job" in job["error"]
