"""What jobs wait for: from the command line and from Python, with real workers."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Queue
from prokerja.errors import BadOption, RequestError
from prokerja.model.declaration import Status
from tests.harness.home import PROGRAM
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

KEYED = """
    from dataclasses import dataclass
    from prokerja import Job

    @dataclass
    class Album(Job):
        name: str
        n: int = 0

        def coalesce_key(self):
            return self.name

        def handle(self):
            if self.n == 0:
                self.declare(Album(self.name, 1))
            return [self.parents, self.counts]
"""


def run_all(shell: Home) -> None:
    shell.work()


def test_processes_that_declare_at_once_with_a_key_declare_one(shell: Home) -> None:
    shell.declare("noop")
    words = [PROGRAM, "declare:shell", "--coalesce", "k", "--json", "--", "true"]

    def declare(_: int) -> dict[str, Any]:
        told = subprocess.run(words, env=shell.environment, capture_output=True, check=True)
        answer: dict[str, Any] = json.loads(told.stdout)
        return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(declare, range(24)))
    assert {answer["id"] for answer in answers} == {2}
    assert [answer.get("coalesced") for answer in answers].count(True) == 23
    assert shell.report() == [2, 0, 0, 0]


def test_a_class_may_name_its_key(shell: Home) -> None:
    shell.write("album.py", KEYED)
    code = (
        "import os, sys; sys.path.insert(0, os.environ['PROKERJA_JOBS']);"
        "from album import Album; from prokerja import *;"
        "print(declare(Album('a')), declare(Album('a', 2)), declare(Album('b')),"
        "declare(Album('a', 5), coalesce='other'), list(declare_many([Album('a'), Album('c')])))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env=shell.environment, cwd=shell.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.stdout, told.stderr) == ("1 1 2 3 [1, 4]\n", "")
    run_all(shell)
    # A job's own follow-up is declared once it has given its key back.
    assert shell.report()[:3] == [0, 0, 7]


def test_a_batch_of_lines_with_a_key_says_which_there_are(shell: Home) -> None:
    lines = '{"shell": ["true"], "coalesce": "k"}\n' * 3
    told = shell("declare:batch", "--json", stdin=lines)
    assert json.loads(told.out) == {
        "count": 3, "first": 1, "last": 1, "ids": [1, 1, 1], "coalesced": [1],
    }  # fmt: skip


def test_a_chain_of_commands_runs_in_its_order_on_several_realizers(shell: Home) -> None:
    after: list[str] = []
    for n in range(8):
        told = shell("declare:shell", *after, "--sh", f'echo "{n} $PROKERJA_PARENTS" >> order')
        after = ["--after", told.out.strip()]
    shell.work("--realizers", 4)
    lines = (shell.path / "order").read_text().splitlines()
    assert lines == ["0 ", *(f"{n} {n}" for n in range(1, 8))]


def test_a_child_waits_though_its_worker_is_killed_while_the_parent_runs(home: Home) -> None:
    parent = home.run("note('parent'); wait_for('go')")
    child = home.run("note('child'); return self.parents", after=parent)
    worker = home.worker()
    wait_until(lambda: home.running(parent))
    worker.kill()
    home.worker()
    wait_until(lambda: home.ledger().count("parent") == 2)
    assert home.ledger().count("child") == 0
    (home.path / "go").touch()
    assert home.wait(child)["result"] == {str(parent): None}


def test_what_expires_fails_though_nobody_declares_anything(home: Home) -> None:
    later = home.run("pass", expires=0.3, delay=60)
    blocked = home.run("pass", hold=True, expires=0.3)
    worker = home.worker()
    for id in (later, blocked):
        assert home.wait(id, "failed")["error"].startswith("expired")
    wait_until(lambda: "failed unstarted: expired" in worker.said())


def test_what_expires_fails_though_every_realizer_is_busy(home: Home) -> None:
    busy = home.run("wait_for('go')")
    home.worker()
    wait_until(lambda: home.running(busy))
    late = home.run("pass", expires=0.3)
    home.wait(late, "failed")
    assert home.running(busy)
    (home.path / "go").touch()
    home.wait(busy)


def test_the_last_job_of_a_batch_is_told_what_came_of_it(shell: Home) -> None:
    lines = '{"job": "noop"}\n{"job": "fail"}\n{"shell": ["true"]}\n'
    then = "-- sh -c 'echo $PROKERJA_COMPLETED $PROKERJA_FAILED > told'"
    told = shell("declare:batch", "--name", "b", "--then", then, stdin=lines)
    assert told.out == "4 1 4\n"
    assert shell.ask("report", "--batch", "b")["pending"] == 3
    shell.work()
    assert (shell.path / "told").read_text() == "2 1\n"
    assert shell("wait", "--batch", "b", "--json") == (
        1, '{"batch": "b", "completed": 2, "failed": 1}\n', "",
    )  # fmt: skip
    assert [row[0] for row in shell("report:jobs", "--batch", "b").cells] == ["3", "2", "1"]


def test_options_are_the_same_from_python(home: Home) -> None:
    queue = home.queue
    first = home.run("return 1", hold=True, batch="b")
    child = home.run("return [self.parents, self.counts]", after=[first], after_batch="b")
    queue.change(child, priority=3, label="x", timeout=60)
    queue.change(child, timeout=None)
    record = queue.detail(child).record
    assert (record.lane.priority, record.label, record.timeout) == (3, "x", None)
    queue.release(first)
    home.work()
    assert home.job(child)["result"] == [{str(first): 1}, {"completed": 1, "failed": 0}]
    assert queue.wait_for_batch("b") == {"completed": 1, "failed": 0}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"after": "12"}, "^after: '12' does not fit; give a whole number"),
        ({"after": [0]}, "^after: '0' does not fit"),
        ({"after": [True]}, "^after: 'True' does not fit"),
        ({"after": [2**63]}, "^after: "),
        ({"if_parent_fails": "run"}, "if_parent_fails goes with after"),
        ({"replace": True}, "replace goes with coalesce"),
        ({"coalesce": ""}, "^coalesce: '' does not fit"),
        ({"coalesce": "a\nb"}, "^coalesce: "),
        ({"expires": -1}, "^expires: '-1' s is not between"),
        ({"expires": float("nan")}, "^expires: "),
        ({"batch": "x" * 256}, "^batch: "),
        ({"after_batch": 7}, "^after_batch: '7' does not fit"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Home, options: Any, error: str) -> None:
    with pytest.raises(BadOption, match=error):
        home.run("pass", **options)
    assert home.report() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["declare:shell", "--after", "9", "true"], 2, "there is no job 9 to wait for"),
        (["declare:shell", "--after-batch", "x", "true"], 2, "there is no batch 'x' to wait for"),
        (["declare:shell", "--expires", "soon", "true"], 2, "--expires: 'soon' is not a time"),
        (["declare:batch", "--then", "noop"], 2, "--then goes with --name"),
        (["declare:batch", "--name", "b", "--then", "'"], 2, "cannot be split"),
        (["declare:batch", "--name", "b", "--then", ""], 2, "--then: '' names nothing to run"),
        (["change", "1"], 2, "say what to change"),
        (["change", "1", "--priority", "5"], 2, "job 1 is not pending"),
        (["hold", "1"], 2, "job 1 is not pending"),
        (["release", "1"], 2, "job 1 is not held"),
        (["release", "7"], 1, "there is no job 7"),
        (["wait", "--batch", "x"], 2, "there is no batch 'x'"),
        (["wait", "1", "--batch", "x"], 2, "say what to wait for"),
        (["report", "--batch", "x"], 1, "there is no batch 'x'"),
        (["report", "--why", "7"], 1, "there is no job 7"),
        (["report", "--why", "1", "--queue", "q"], 2, "--why is about one job"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    shell: Home, words: list[str], code: int, error: str
) -> None:
    shell.declare("noop")
    shell.work()
    before = shell.dump()
    told = shell(*words, stdin='{"shell": ["true"]}\n')
    assert (told.code, told.out) == (code, "")
    assert error in told.err
    assert told.err.count("\n") == 1
    assert shell.dump() == before


def test_a_declaration_within_the_callers_transaction_may_wait_too(home: Home) -> None:
    import sqlite3

    parent = home.run("pass")
    connection = sqlite3.connect(home.db)
    child = home.run("pass", connection=connection, after=parent, coalesce="k")
    assert home.run("pass", connection=connection, coalesce="k") == child
    with pytest.raises(RequestError, match="no job 99"):
        home.run("pass", connection=connection, after=99, batch="b", coalesce="l")
    connection.commit()  # what was refused is not in it
    connection.close()
    assert home.report() == [2, 0, 0, 0]


def test_a_running_job_is_told_apart_from_one_that_waits(home: Home) -> None:
    id = home.run("wait_for('go')")
    home.worker()
    wait_until(lambda: home.running(id))
    with pytest.raises(RequestError, match="only pending jobs can be changed"):
        home.queue.change(id, priority=1)
    [condition] = home.queue.why(id)
    assert (condition.holds, condition.detail) == (False, "it is running")
    (home.path / "go").touch()
    home.wait(id)
    assert home.queue.wait([id]) == {id: Status.COMPLETED}


def test_why_names_every_condition(shell: Home) -> None:
    shell.declare("noop")
    with Queue(shell.db) as queue:
        held = {one.name: one.holds for one in queue.why(1)}
    assert held == {
        "it is pending": True,
        "it is not held": True,
        "the jobs that it depends on have ended": True,
        "the batch that it follows has ended": True,
        "its queue is not paused": True,
        "it is due": True,
        "a worker is alive": False,
        "a worker takes from its queue": None,
        "that worker has the jobs of its directory": None,
        "that worker knows the job": None,
        "that worker's class fits its payload": None,
        "no other job goes first": None,
        "a realizer of that worker is free": None,
    }
    answer = shell.ask("report", "--why", 1)
    assert [one["holds"] for one in answer["conditions"]] == list(held.values())
