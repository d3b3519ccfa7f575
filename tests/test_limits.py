"""Limits, rates, resources and turns, with workers that run, and die."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING

import pytest

from prokerja import Queue
from prokerja.worker.worker import Worker
from tests.harness.home import request
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home

GUARDED = '''
import fcntl, os, time
from dataclasses import dataclass
from prokerja import Job

DYING = 0.05
"""Seconds that a killed process may take to let go of its locks."""


@dataclass
class Guarded(Job):
    """Hold one of so many locks of a key: who finds none is one too many."""

    key: str
    most: int
    seconds: float = 0.1
    retries = 1000
    retry_after = 0
    limit_key = "guard {key}"

    def handle(self):
        give_up = time.monotonic() + DYING
        while not any(self.locked(n) for n in range(self.most)):
            if time.monotonic() > give_up:
                raise RuntimeError(write("breach"))
            time.sleep(0.001)
        time.sleep(self.seconds)
        write(f"end {self.key}")

    def locked(self, n):
        self.file = open(f"%(home)s/lock-{self.key}-{n}", "w")
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


@dataclass
class Start(Job):
    """Write down when it begins."""

    retries = 1000
    retry_after = 0
    rate = "4/0.5s"

    def handle(self):
        write(f"start {time.time()}")
        time.sleep(0.03)


def write(line):
    with open("%(home)s/ledger", "a") as file:
        file.write(line + chr(10))
    return line
'''
KILLS = 4


@pytest.fixture
def guarded(home: Home) -> Home:
    """With jobs that notice when a limit or a rate does not hold."""
    home.write("guarded.py", GUARDED % {"home": home.path})
    return home


def storm(home: Home, realizers: int) -> None:
    """Two workers, of which one is killed again and again; then one that does all that is left."""
    workers = [home.worker("--realizers", realizers) for _ in range(2)]
    for turn in range(KILLS):
        before = len(home.ledger())
        wait_until(lambda before=before: len(home.ledger()) >= before + 3)  # type: ignore[misc]
        workers[turn % 2].kill()
        workers[turn % 2] = home.worker("--realizers", realizers)
    for worker in workers:
        worker.kill()
    home.work("--realizers", realizers)


def test_a_limit_holds_across_workers_that_are_killed_and_is_free_again_at_once(
    guarded: Home,
) -> None:
    pairs = guarded.declare("guarded", "key=a", "--each", "most", "--limit", 2, stdin="2\n" * 40)
    single = guarded.declare("guarded", "key=b", "--each", "most", "--lock", "b", stdin="1\n" * 12)
    storm(guarded, realizers=3)
    assert "breach" not in guarded.ledger()
    assert set(guarded.statuses([*pairs, *single])) == {"completed"}
    assert guarded.look("SELECT count(*) FROM slot") == [(0,)]


def test_a_rate_holds_across_workers_that_are_killed(guarded: Home) -> None:
    for _ in range(2):  # by what the class says, and by what a declaration says
        guarded.declare("start")
    ids = [1, 2, *guarded.queue.declare_many([request("start")] * 22, rate="4/0.5s")]
    storm(guarded, realizers=2)
    assert set(guarded.statuses(ids)) == {"completed"}
    starts = sorted(float(line.split()[1]) for line in guarded.ledger())
    assert len(starts) >= len(ids)
    gaps = [last - first for first, last in zip(starts, starts[4:], strict=False)]
    assert min(gaps) > 0.5 - 0.02, "its clock is read a moment after the start"


def test_a_worker_that_works_until_all_is_done_waits_for_rates(home: Home) -> None:
    began = time.monotonic()
    ids = home.run_each(["pass"] * 3, rate="1/0.5s", rate_key="slow")
    home.work()
    assert set(home.statuses(ids)) == {"completed"}
    assert time.monotonic() - began > 1.0


def test_what_is_behind_a_full_key_waits_for_no_realizer(home: Home) -> None:
    home.worker("--realizers", 2).ready()
    first = home.run("wait_for('gate')", lock="db")
    home.run_each(["pass"] * 10_000, lock="db")
    other = home.run("pass", lock="disk")
    plain = home.run("pass")
    home.wait(other, limit=SOON)
    home.wait(plain, limit=SOON)
    assert home.job(first)["status"] == "processing"
    home.open("gate")
    home.wait(first)


def test_what_waits_for_a_key_begins_as_soon_as_another_worker_lets_go_of_it(home: Home) -> None:
    workers = [home.worker().ready() for _ in range(2)]
    first = home.run("wait_for('gate')", lock="db")
    second = home.run("note(time.time())", lock="db")
    wait_until(lambda: home.running(first))
    wait_until(lambda: all(worker.asleep() for worker in workers))
    home.open("gate")
    home.wait(second)
    ended = home.job(first)["attempts"], home.queue.detail(first).record.finished_at
    assert ended[1] is not None
    assert float(home.ledger()[0]) - ended[1] < SOON


def test_heavy_jobs_and_light_ones_share_realizers_by_what_the_machine_has(home: Home) -> None:
    settings = home.path / "home" / ".config" / "prokerja"
    settings.mkdir(parents=True)
    (settings / "prokerja.toml").write_text('[resources]\ngpu = 1\nmemory = "8G"\n')
    code = "note('begin {0}')\nwait_for('gate')"
    heavy = [home.run(code.format(n), needs={"memory": "5G"}) for n in range(2)]
    light = home.run(code.format("light"), needs={"memory": "3G", "gpu": 1})
    never = home.run("pass", needs={"gpu": 2})
    home.worker("--realizers", 4).ready()
    wait_until(lambda: len(home.ledger()) == 2)
    assert {*home.ledger()} == {"begin 0", "begin light"}
    told = home.cli("report", "--why", heavy[1])
    assert (
        f"no   what it needs is free: it needs 5,368,709,120 of memory, and 8,589,934,592 of"
        f" 8,589,934,592 are in use: jobs {heavy[0]} and {light}" in told
    )
    home.open("gate")
    for id in (*heavy, light):
        home.wait(id)
    told = home.cli("report", "--why", never)
    assert "it needs 2 of gpu, and the machine of worker 1 has 1; what there is stands" in told


def test_short_jobs_travel_together_though_each_has_a_key_of_its_own(home: Home) -> None:
    home.run_each([f"{n}" for n in range(600)], lock="{code}")
    home.worker("--until-empty").end()
    lines = map(json.loads, home.cli("events", "--json").splitlines())
    completed = [line["cursor"] for line in lines if line["event"] == "completed"]
    assert len(completed) == 600
    assert len({cursor.split(".")[0] for cursor in completed}) < 200


def test_one_with_many_jobs_does_not_hold_up_one_with_three(home: Home) -> None:
    home.run_each(["pass"] * 2_000, fair_key="many")
    few = home.run_each(["pass"] * 3, fair_key="few")
    home.worker("--max-jobs", 10).end()
    assert set(home.statuses(few)) == {"completed"}


def test_queues_with_weights_take_turns(home: Home) -> None:
    home.run_each(["note('urgent')"] * 60, queue="urgent")
    home.run_each(["note('default')"] * 60)
    home.worker("--queue", "urgent=5", "--queue", "default=1", "--max-jobs", 48).end()
    runs = [(name, len([*some])) for name, some in itertools.groupby(home.ledger())]
    assert home.ledger().count("default") == 8
    assert max(length for name, length in runs if name == "urgent") <= 5


def test_a_program_weighs_queues_as_the_command_does(tmp_path: Path) -> None:
    with Queue(tmp_path / "q.db") as queue:
        worker = Worker(queue, [], queues={"a": 2, "b": 1})
        taking = worker._options.taking()
        assert (taking.queues, taking.weights) == (("a", "b"), (2, 1))


@pytest.mark.parametrize(
    ("queue", "fault"),
    [
        ("urgent=five", "--queue: 'five' is not a weight; write QUEUE=N, such as urgent=5"),
        ("urgent=0", "--queue urgent: '0' does not fit; give a whole number from 1 to 1000"),
        ("=5", "--queue: '' does not fit; give 1 to 255 printable characters"),
    ],
)
def test_a_weight_that_is_none_is_refused(home: Home, queue: str, fault: str) -> None:
    told = home("realization:start", "--queue", queue)
    assert (told.code, told.err) == (2, f"prokerja: {fault}\n")


def test_a_queue_with_a_weight_is_given_once(home: Home) -> None:
    told = home("realization:start", "--until-empty", "--queue", "a=5", "--queue", "a")
    assert (told.code, told.err) == (
        2, "prokerja: --queue: a queue is given twice, and has a weight; give each of them once\n"
    )  # fmt: skip


def test_why_does_not_call_a_job_the_next_that_has_to_wait_for_a_limit(home: Home) -> None:
    home.worker("--realizers", 1).ready()
    home.run("note('in')\nwait_for('gate')", lock="db")
    wait_until(lambda: home.ledger() == ["in"])
    second = home.run("pass", lock="db")
    told = home.cli("report", "--why", second).splitlines()
    assert told[-1] == "no   a realizer of that worker is free: all of them have jobs"
    home.open("gate")


def test_why_names_the_limit_and_the_rate_that_a_job_waits_for(home: Home) -> None:
    home.worker("--realizers", 2).ready()
    first = home.run("wait_for('gate')", lock="db")
    second = home.run("pass", lock="db")
    third, fourth = home.run_each(["pass"] * 2, rate="1/h", rate_key="api")
    home.wait(third)
    told = f"1 of 1 with the limit key 'db' runs: job {first}"
    assert home.queue.detail(second).why == told
    assert f"no   its limit leaves room: {told}" in home.cli("report", "--why", second)
    why = home.queue.detail(fourth).why or ""
    assert why.startswith("1 of 1 with the rate key 'api' has started within 1h")
    assert "; the next may at 2" in why


def test_a_queue_has_a_limit_and_a_rate_of_its_own(home: Home) -> None:
    home.cli("queue:limit", "mail", 2)
    home.cli("queue:rate", "calls", "1/h")
    running = [home.run("note('in')\nwait_for('gate')", queue="mail") for _ in range(3)]
    called = home.run_each(["pass"] * 2, queue="calls")
    home.worker("--realizers", 4).ready()
    wait_until(lambda: home.ledger() == ["in"] * 2)
    home.wait(called[0])
    assert home.queue.detail(running[2]).why == (
        f"2 of 2 of the queue mail run: jobs {running[0]} and {running[1]}"
    )
    assert "of the queue calls has started within 1h" in (home.queue.detail(called[1]).why or "")
    home.cli("queue:limit", "mail", "--none")
    wait_until(lambda: len(home.ledger()) == 3)
    home.open("gate")
