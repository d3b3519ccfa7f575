"""Steps of a job: done once, however often it runs, and done when that is on the disk."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from prokerja import Job
from tests.harness.home import inside
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

ONCE = "self.step('once', note, 'once')"


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Let nobody write."""
    with closing(sqlite3.connect(home.db, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def names(home: Home, id: int) -> list[str]:
    """The steps that a job has done."""
    return [step["step"] for step in home.job(id)["steps"]]


def test_a_step_that_is_done_is_not_done_again_after_a_crash(home: Home) -> None:
    id = home.run(
        """
        first = self.step("pid", os.getpid)
        self.step("note", lambda: note("done"))
        if first == os.getpid():
            os.kill(os.getpid(), signal.SIGKILL)
        return [first, os.getpid()]
        """,
        retries=1,
        retry_after=0,
    )
    home.work()
    job = home.job(id)
    assert (job["status"], job["attempts"]) == ("completed", 2)
    assert job["result"][0] != job["result"][1]
    assert home.ledger() == ["done"]


def test_a_step_gives_back_what_json_makes_of_its_value_the_first_time_too(home: Home) -> None:
    code = """
        got = [self.step("a", lambda n, *, m: (n, {m: None}), 1, m=2)]
        got.append(self.step("a", note, "never"))
        note(json.dumps(got))
        if len(home_ledger := open(LEDGER).readlines()) == 1:
            raise ValueError
        """
    home.run(code, retries=1, retry_after=0)
    home.work()
    assert home.ledger() == ['[[1, {"2": null}], [1, {"2": null}]]'] * 2


def test_a_step_survives_the_death_of_its_worker_the_moment_it_has_returned(home: Home) -> None:
    id = home.run(
        f"""
        {ONCE}
        if not os.path.exists(HOME + "/gate"):
            os.kill(supervisor(), signal.SIGKILL)
            wait_for("gate")
        """
    )
    home.worker().process.wait()
    home.open("gate")
    home.worker()
    home.wait(id)
    assert home.ledger() == ["once"]
    assert names(home, id) == ["once"]


def test_a_step_is_done_in_a_failed_job_that_is_given_a_fresh_start(home: Home) -> None:
    id = home.run(f"{ONCE}; assert os.path.exists(HOME + '/gate')")
    home.work()
    assert home.job(id)["status"] == "failed"
    home.open("gate")
    home.cli("retry", id)
    home.work()
    assert home.job(id)["status"] == "completed"
    assert home.ledger() == ["once"]


def test_a_step_that_raises_is_not_done(home: Home) -> None:
    id = home.run("self.step('no', lambda: [note('try'), 1 / 0])", retries=1, retry_after=0)
    home.work()
    assert home.job(id)["error"] == "ZeroDivisionError: division by zero"
    assert home.ledger() == ["try"] * 2
    assert names(home, id) == []


def test_a_step_returns_once_it_is_in_the_file_and_not_before(home: Home) -> None:
    id = home.run(
        f"""
        note("begun")
        wait_for("gate")
        threading.Timer(0.3, note, ["a while later"]).start()
        {ONCE}
        note("returned")
        wait_for("end")
        """
    )
    home.worker()
    wait_until(lambda: home.running(id))
    with locked(home):
        home.open("gate")
        wait_until(lambda: home.ledger() == ["begun", "once", "a while later"])
    wait_until(lambda: home.ledger()[-1] == "returned")
    assert names(home, id) == ["once"]


def test_a_step_is_synced_to_the_disk_before_it_returns(home: Home) -> None:
    """See also the power cut, whose workload has steps."""
    store = inside(home.queue)
    with store.database.syncing():
        assert store.database.execute("PRAGMA synchronous").fetchone() == (2,)
    store.database.durable(False)
    with store.database.syncing():
        assert store.database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store.database.execute("PRAGMA synchronous").fetchone() == (1,)


def test_a_running_job_may_do_steps_while_its_worker_stops_in_good_order(home: Home) -> None:
    id = home.run(f"note('begun'); wait_for('gate'); {ONCE}; self.step('twice', note, 'twice')")
    worker = home.worker()
    wait_until(home.ledger)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.said())
    home.open("gate")
    assert worker.end() == 0
    assert home.job(id)["status"] == "completed"
    assert home.ledger() == ["begun", "once", "twice"]


def test_several_realizers_and_their_threads_do_steps_at_once(home: Home) -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda n: self.step(f"s{n % 10}", lambda: [n % 10, os.getpid()]),
                                range(40)))
        assert [n for n, _ in got] == [n % 10 for n in range(40)], got
        if not os.path.exists(f"{HOME}/{self.step('gate', lambda: str(time.monotonic_ns()))}"):
            open(f"{HOME}/{self.step('gate', None)}", "w").close()
            os._exit(1)
        return len(set(pid for _, pid in got))
        """
    ids = home.run_each([code] * 6, retries=1, retry_after=0)
    home.work("--realizers", "3")
    assert home.statuses(ids) == ["completed"] * 6
    for id in ids:
        job = home.job(id)
        assert (job["result"], job["attempts"]) == (1, 2), "no step was done by the second attempt"
        assert sorted(names(home, id)) == ["gate", *(f"s{n}" for n in range(10))]


def test_jobs_that_come_in_meanwhile_run_after_the_one_with_the_steps(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    many = "; ".join(f"self.step('{n}', int)" for n in range(20))
    ids = home.run_each([many, *["pass"] * 200, many])
    wait_until(home.several_in_hand)
    realizer.resume()
    wait_until(lambda: set(home.statuses(ids)) == {"completed"})
    assert len(names(home, ids[0])) == len(names(home, ids[-1])) == 20


def test_one_thread_waits_for_another_that_does_the_same_step(home: Home) -> None:
    id = home.run(
        """
        def slow():
            note("slow")
            wait_for("gate")
            return 7
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.step("slow", slow)))
                   for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return got
        """
    )
    home.worker()
    wait_until(lambda: home.ledger() == ["slow"])
    home.open("gate")
    assert home.wait(id)["result"] == [7, 7, 7]
    assert home.ledger() == ["slow"]


KEEPER = """
import queue
import threading

TODO = queue.SimpleQueue()


def serve():
    while True:
        TODO.get()()


threading.Thread(target=serve, daemon=True).start()
"""
"""A thread that all jobs share: one that a job starts has no job beside it."""


def test_a_thread_that_outlives_its_job_does_no_step_of_another(home: Home) -> None:
    home.write("keeper.py", KEEPER)
    home.run(
        """
        from jobs.keeper import TODO
        def late():
            wait_for("gate")
            try:
                self.step("late", note, "late")
            except RuntimeError as error:
                note(error)
        TODO.put(late)
        """
    )
    id = home.run("note('second'); open(HOME + '/gate', 'w').close(); wait_for('end')")
    home.worker()
    wait_until(lambda: len(home.ledger()) == 2)
    home.open("end")
    home.wait(id)
    said = "step 'late' is for the job that is running, and this one is not"
    assert home.ledger() == ["second", said]
    assert home.look("SELECT * FROM step") == []


def test_a_process_that_a_job_forks_can_do_no_step(home: Home) -> None:
    id = home.run(
        """
        pid = os.fork()
        if not pid:
            try:
                self.step("forked", note, "forked")
            except RuntimeError as error:
                note(error)
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    home.work()
    assert home.ledger() == [
        "step 'forked' is for the job's own process, not for one that it starts"
    ]
    assert names(home, id) == []


def test_a_time_limit_ends_a_job_that_waits_for_its_step(home: Home) -> None:
    id = home.run(
        f"""
        note("begun")
        wait_for("gate")
        try:
            {ONCE}
        finally:
            note("ended")
        """,
        timeout=1,
    )
    home.worker()
    wait_until(lambda: home.running(id))
    with locked(home):
        home.open("gate")
        wait_until(lambda: home.ledger() == ["begun", "once", "ended"])
    assert home.wait(id, "failed")["error"] == "ran longer than 1 s"


BAD = {
    "self.step('', int)": "ValueError: step: '' does not fit; give 1 to 255 printable characters",
    "self.step('a\\nb', int)": r"ValueError: step: 'a\nb' does not fit; give 1 to 255 printable",
    "self.step('x' * 256, int)": "give 1 to 255 printable characters",
    "self.step(7, int)": "ValueError: step: '7' does not fit; give 1 to 255 printable characters",
    "self.step('a', object)": "TypeError: step 'a' returned what is not JSON: Object of",
    "self.step('a', float, 'nan')": "TypeError: step 'a' returned what is not JSON",
    "self.step('a', lambda: 'x' * 2**16)": "ValueError: step 'a' returned more than 64 KiB; write"
    " it to a file, return the path",
    "for n in range(17): self.step(str(n), lambda: 'x' * 65000)": "ValueError: with step '16' the"
    " job's steps have more than 1 MiB; write what they return to files, return the paths",
    "self.step('a', lambda: self.step('a', int))": "RuntimeError: step 'a' is a part of itself;"
    " give one another name",
}  # fmt: skip


def test_what_cannot_be_a_step_fails_the_attempt_and_says_why(home: Home) -> None:
    ids = home.run_each(BAD)
    home.work()
    assert home.statuses(ids) == ["failed"] * len(BAD)
    for id, words in zip(ids, BAD.values(), strict=True):
        assert words in home.job(id)["error"]


def test_steps_are_listed_with_when_they_were_done(home: Home) -> None:
    id = home.run("self.step('up \u00e9', int); self.step('down', int)")
    home.work()
    first, second = home.ask("report:job", id)["steps"]
    assert (first["step"], second["step"]) == ("up \u00e9", "down")
    assert first["done_at"] <= second["done_at"]
    assert f"\nstep up \u00e9: done {first['done_at']}\nstep down: done " in home.cli(
        "report:job", id
    )


def test_a_completed_job_keeps_no_values_of_its_steps(home: Home) -> None:
    code = "self.step('a', lambda: 'kept'); assert os.path.exists(HOME + '/gate')"
    id = home.run(code)
    home.work()
    assert home.look("SELECT name, result FROM step") == [("a", '"kept"')]
    home.open("gate")
    home.cli("retry", id)
    home.work()
    assert home.look("SELECT name, result FROM step") == [("a", None)]
    home.cli("purge")
    assert home.look("SELECT * FROM step") == []


def test_without_a_worker_there_are_no_steps() -> None:
    with pytest.raises(RuntimeError, match="step is there while a worker runs the job"):
        Job().step("a", int)


def test_a_field_may_be_called_step_or_progress(home: Home) -> None:
    home.write(
        "odd.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Odd(Job):
            step: int
            progress: str

            def handle(self):
                return [self.step, self.progress]
        """,
    )
    [id] = home.declare("odd", "step=3", "progress=p")
    home.work()
    assert home.job(id)["result"] == [3, "p"]


def test_who_does_no_steps_leaves_no_row(home: Home) -> None:
    ids = home.run_each(["pass"] * 5)
    home.work()
    assert home.statuses(ids) == ["completed"] * 5
    for table in ("step", "progress", "cut_result"):
        assert home.look(f"SELECT * FROM {table}") == []
