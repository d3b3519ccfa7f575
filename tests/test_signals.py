"""What the signals of a worker do, and what they leave alone."""

from __future__ import annotations

import os
import random
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Worker
from prokerja.errors import BadOption
from prokerja.exit_codes import WATCHDOG
from prokerja.model.claim import Claimed
from prokerja.repository.sqlite.watch import POLL_SECONDS
from prokerja.worker.duties.writes import Writes
from prokerja.worker.pool.in_flight import InFlight
from prokerja.worker.pool.pool import Pool
from tests.harness.processes import children, gone
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home
    from tests.harness.worker import Worker as RealWorker

LONG = "note('begin'); wait_for('gate'); note('end'); return supervisor()"
PROGRAM = """
    import sys
    from prokerja import Queue, Worker

    worker = Worker(Queue(sys.argv[1]), sys.argv[2])
    print(repr(worker.run()), worker.restart_wanted, flush=True)
"""


def begun(home: Home, *words: object) -> tuple[int, RealWorker]:
    """A worker that runs a job, which waits for the gate."""
    id = home.run(LONG)
    worker = home.worker(*words)
    wait_until(lambda: home.running(id))
    return id, worker


def starts(worker: RealWorker) -> int:
    """How often a worker has begun, in this process or one beside it."""
    return worker.said().count("started:")


def look_around(worker: RealWorker) -> None:
    """Return once the worker has gone through its loop again."""
    before = worker.said().count("attempts completed,")
    worker.send(signal.SIGUSR2)
    wait_until(lambda: worker.said().count("attempts completed,") > before)


def is_in(pid: int, mask: str, number: signal.Signals) -> bool:
    """Whether a signal is in one of the masks of a process, as the system names them."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        [signals] = [line.split()[1] for line in file if line.startswith(f"{mask}:")]
    return bool(int(signals, 16) >> (number - 1) & 1)


def descriptors(worker: RealWorker) -> list[str]:
    """What a worker has open, by kind."""
    place = f"/proc/{worker.pid}/fd"
    links = [os.readlink(f"{place}/{name}") for name in os.listdir(place)]
    return sorted(link.partition(":")[0].partition("-worker-")[0] for link in links)


def test_one_interrupt_lets_what_runs_finish_without_a_limit(home: Home) -> None:
    id, worker = begun(home, "--grace", "0s")
    rest = home.run("pass")
    worker.send(signal.SIGINT)
    wait_until(lambda: "running jobs may finish" in worker.said())
    look_around(worker)
    home.open("gate")
    assert worker.end() == 0
    assert home.statuses([id, rest]) == ["completed", "pending"]
    assert home.job(id)["attempts"] == 1


def test_a_term_after_an_interrupt_sets_the_grace_time_going(home: Home) -> None:
    id, worker = begun(home, "--grace", "0.1s")
    worker.send(signal.SIGINT)
    wait_until(lambda: "running jobs may finish" in worker.said())
    worker.send(signal.SIGTERM)
    assert worker.end(10) == 0
    assert "stopping: heard SIGTERM; running jobs have 0.10s to end" in worker.said()
    assert (home.statuses([id]), home.job(id)["attempts"]) == (["pending"], 0)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGQUIT, 0), (signal.SIGABRT, WATCHDOG)], ids=["QUIT", "ABRT"]
)
def test_a_signal_stops_within_the_grace_time(
    home: Home, number: signal.Signals, code: int
) -> None:
    id, worker = begun(home, "--grace", "0s")
    worker.send(number)
    assert worker.end(10) == code
    assert f"heard {number.name}" in worker.said()
    assert (home.statuses([id]), home.job(id)["attempts"]) == (["pending"], 0)


def test_a_hang_up_of_an_idle_worker_starts_it_afresh_with_new_code(home: Home) -> None:
    home.write("greet.py", "from jobs.run import *\nclass Greet(Job):\n def handle(self): return 1")
    worker = home.worker().ready()
    home.wait(home.declare_job("greet"))
    before = descriptors(worker)
    home.write("greet.py", "from jobs.run import *\nclass Greet(Job):\n def handle(self): return 2")
    worker.send(signal.SIGHUP)
    wait_until(lambda: starts(worker) == 2)
    id = home.declare_job("greet")
    assert home.wait(id)["result"] == 2
    assert descriptors(worker) == before
    assert worker.process.poll() is None
    assert len(children(worker.pid)) == 1
    assert len(home.ask("report")["workers"]) == 1
    worker.send(signal.SIGTERM)
    assert worker.end(10) == 0


def test_while_a_worker_finishes_to_start_afresh_another_takes_jobs(home: Home) -> None:
    long, worker = begun(home, "--grace", "0s")
    worker.send(signal.SIGHUP)
    short = home.run("return supervisor()")
    assert home.wait(short)["result"] not in (None, worker.pid)
    look_around(worker)
    assert home.statuses([long]) == ["processing"]
    home.open("gate")
    assert home.wait(long)["result"] == worker.pid
    assert home.job(long)["attempts"] == 1
    wait_until(lambda: starts(worker) == 3)
    wait_until(lambda: len(children(worker.pid)) == 1)
    assert len(home.ask("report")["workers"]) == 1
    assert home.wait(home.run("return supervisor()"))["result"] == worker.pid
    assert home.ledger() == ["begin", "end"]


def relieved(home: Home, *words: object) -> tuple[list[int], RealWorker]:
    """A worker that finishes a job, while another one that takes jobs meanwhile runs one, too."""
    first, worker = begun(home, *words)
    worker.send(signal.SIGHUP)
    second = home.run(LONG)
    wait_until(lambda: home.running(second))
    return [first, second], worker


def test_a_worker_that_started_afresh_waits_for_what_the_other_still_runs(home: Home) -> None:
    [first, second], worker = relieved(home)
    home.open("gate")
    wait_until(lambda: starts(worker) == 3)
    wait_until(lambda: home.statuses([first, second]) == ["completed"] * 2)
    assert home.job(first)["result"] != home.job(second)["result"]
    wait_until(lambda: "has left: exit code 0" in worker.said())
    assert worker.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_stop_of_a_worker_stops_the_one_that_takes_jobs_meanwhile(
    home: Home, number: signal.Signals
) -> None:
    ids, worker = relieved(home, "--grace", "0s")
    family = worker.family()
    worker.send(number)
    if number == signal.SIGINT:
        wait_until(lambda: "the worker that it relieves asks for it" in worker.said())
        home.open("gate")
    assert worker.end(10) == 0
    assert all(map(gone, family))
    status = "completed" if number == signal.SIGINT else "pending"
    assert home.statuses(ids) == [status] * 2
    assert {home.job(id)["attempts"] for id in ids} == {int(number == signal.SIGINT)}
    assert starts(worker) == 2


def test_who_takes_jobs_meanwhile_finishes_when_the_other_is_killed(home: Home) -> None:
    [_, second], worker = relieved(home)
    [relief] = [one for one in worker.family() if os.getpgid(one.pid) == one.pid != worker.pid][:1]
    worker.kill()
    wait_until(lambda: "the worker that it relieves is gone" in worker.said())
    home.open("gate")
    home.wait(second)
    wait_until(lambda: gone(relief))


def test_a_worker_whose_new_settings_are_wrong_leaves_nobody_behind(home: Home) -> None:
    [first, second], worker = relieved(home, "--grace", "0s")
    family = worker.family()
    place = home.path / "home/.config/prokerja"
    place.mkdir(parents=True)
    (place / "prokerja.toml").write_text("keep_completed = 'for long'")
    home.queue.cancel(first)
    assert worker.end(10) == 2
    assert all(map(gone, family))
    assert home.statuses([second]) == ["pending"]


def test_jobs_left_to_do_are_counted_across_a_fresh_start(home: Home) -> None:
    home.run_each(["pass"] * 2)
    worker = home.worker("--max-jobs", 5)
    wait_until(lambda: home.counts()["completed"] == 2)
    worker.send(signal.SIGHUP)
    wait_until(lambda: starts(worker) == 2)
    home.run_each(["pass"] * 5)
    assert worker.end() == 0
    assert home.counts() == {"pending": 2, "processing": 0, "completed": 5, "failed": 0}


def test_a_worker_that_works_until_all_is_done_starts_afresh_and_goes_on(home: Home) -> None:
    _, worker = begun(home, "--until-empty")
    rest = home.run("return supervisor()")
    worker.send(signal.SIGHUP)
    wait_until(lambda: "starting afresh" in worker.said())
    home.open("gate")
    assert worker.end() == 0
    assert home.job(rest)["result"] == worker.pid
    assert starts(worker) == 2


def test_a_worker_takes_no_jobs_between_two_signals_and_after_a_fresh_start(home: Home) -> None:
    worker = home.worker().ready()
    worker.send(signal.SIGUSR1)
    wait_until(lambda: "taking no jobs: paused by SIGUSR1" in worker.said())
    id = home.run("pass")
    look_around(worker)
    [one] = wait_until(lambda: home.ask("report")["workers"])
    assert [note["kind"] for note in one["notes"]] == ["signal"]
    worker.send(signal.SIGHUP)
    wait_until(lambda: worker.said().count("taking no jobs: paused by SIGUSR1") == 2)
    wait_until(lambda: starts(worker) == 2)
    look_around(worker)
    assert home.statuses([id]) == ["pending"]
    worker.send(signal.SIGUSR1)
    home.wait(id)
    wait_until(lambda: home.ask("report")["workers"][0]["notes"] == [])


def test_a_worker_tells_what_it_is_at(home: Home) -> None:
    id, worker = begun(home)
    worker.send(signal.SIGUSR2)
    [realizer] = worker.realizers()
    wait_until(lambda: f"realizer {realizer.pid}, " in worker.said())
    said = worker.said()
    assert f"process {worker.pid}, for " in said
    assert f" MB: runs job {id} run, attempt 1, for " in said
    assert " MB: 0 attempts completed, 0 failed, 0 put back" in said


def test_a_signal_to_a_whole_group_ends_no_job(home: Home) -> None:
    id, worker = begun(home, "--grace", "0s")
    os.killpg(worker.pid, signal.SIGINT)
    wait_until(lambda: "running jobs may finish" in worker.said())
    home.open("gate")
    assert worker.end() == 0
    assert home.statuses([id]) == ["completed"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_to_all_that_a_worker_has_started_ends_no_job(
    home: Home, number: signal.Signals
) -> None:
    id, worker = begun(home)
    [realizer] = worker.realizers()
    for process in worker.family():
        process.send_signal(number)
    home.open("gate")
    assert home.wait(id)["result"] == worker.pid
    assert home.job(id)["attempts"] == 1
    assert f"realizer {realizer.pid}:" not in worker.said()


def test_what_a_job_starts_hears_the_signals_that_its_realizer_does_not(home: Home) -> None:
    id = home.run("""
        child = subprocess.Popen(["sleep", "600"])
        forked = os.fork() or time.sleep(600)
        for pid in child.pid, forked:
            os.kill(pid, signal.SIGUSR1)
        return child.wait(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
    """)
    home.work()
    assert home.job(id)["result"] == [-signal.SIGUSR1] * 2


def test_a_worker_in_a_program_finishes_at_a_hang_up_and_says_so(home: Home) -> None:
    id = home.run(LONG)
    program = home.python(PROGRAM, home.db, home.jobs)
    wait_until(lambda: home.running(id))
    program.send_signal(signal.SIGHUP)
    home.open("gate")
    out, _ = program.communicate(timeout=30)
    assert out == "'heard SIGHUP' True\n"
    assert home.statuses([id]) == ["completed"]


def test_no_signal_ends_a_worker_that_starts_afresh(home: Home) -> None:
    worker = home.worker().ready()
    worker.send(signal.SIGHUP)
    while starts(worker) < 2 and worker.process.poll() is None:
        worker.send(signal.SIGUSR2)
    assert worker.process.poll() is None


def test_a_stop_while_a_worker_starts_afresh_is_heard(home: Home) -> None:
    worker = home.worker().ready()
    worker.send(signal.SIGHUP)
    wait_until(lambda: "worker stopped:" in worker.said())
    worker.send(signal.SIGTERM)
    assert worker.end(10) == 0
    assert "stopping: heard SIGTERM" in worker.said()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_that_comes_before_a_worker_is_there_waits_for_it(
    home: Home, number: signal.Signals
) -> None:
    worker = home.worker()
    wait_until(lambda: is_in(worker.pid, "SigBlk", number))
    worker.send(number)
    said = {signal.SIGHUP: "heard SIGHUP", signal.SIGUSR1: "paused", signal.SIGUSR2: "process"}
    wait_until(lambda: said[number] in worker.said())
    wait_until(lambda: starts(worker) == 1)


# Limits of a life


def test_a_worker_finishes_and_leaves_when_its_time_is_over(home: Home) -> None:
    id, worker = begun(home, "--max-time", "3s", "--grace", "0s")
    wait_until(lambda: "stopping: its time is over; running jobs may finish" in worker.said())
    home.open("gate")
    assert worker.end() == 0
    assert home.statuses([id]) == ["completed"]


def test_a_worker_leaves_once_it_has_been_idle_for_a_while(home: Home) -> None:
    id, worker = begun(home, "--idle-exit", "0.2s")
    look_around(worker)
    home.open("gate")
    assert worker.end(10) == 0
    assert home.statuses([id]) == ["completed"]
    assert "stopping: it has had nothing to do for 0.20s" in worker.said()


def test_a_realizer_is_replaced_after_so_many_jobs(home: Home) -> None:
    ids = home.run_each(["return os.getpid()"] * 7)
    home.work("--realizer-jobs", 3)
    pids = [home.job(id)["result"] for id in ids]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_a_realizer_that_is_used_up_does_not_keep_jobs_from_another() -> None:
    used_up, other = InFlight(1), InFlight()
    assert other.assign(job(1), 0.01)
    nothing: Any = None
    pool = Pool(2, nothing, nothing, lambda _: None, 0.0)
    pool.results.durations.learn(job(1).lane, 0.001)
    for one in used_up, other:
        process: Any = SimpleNamespace(in_flight=one, has_room=lambda: True)
        pool.processes.append(process)
    taken, full = pool.assign(map(job, (2, 3, 4)))
    assert [one.id for one in taken] == [2, 3, 4]
    assert not full
    [batch] = used_up.take_batches({job(2).lane: "job"}, {})
    assert len(batch.jobs) == 1


def job(id: int) -> Claimed:
    """One that a worker has claimed."""
    return Claimed(1, 0.0, id, 1, "{}", 1, None)


def test_realizers_are_as_nice_as_they_are_asked_to_be(home: Home) -> None:
    id = home.run("return os.getpriority(os.PRIO_PROCESS, 0)")
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    home.work("--nice", 3)
    assert home.job(id)["result"] == min(usual + 3, 19)


def test_a_worker_that_may_not_hurry_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    with pytest.raises(BadOption, match="nice: -5 is not allowed here; give 0 or more"):
        Worker(home.queue, home.jobs, nice=-5)


def test_a_worker_that_waits_before_it_starts_leaves_at_once_when_it_is_told_to(
    home: Home,
) -> None:
    worker = home.worker("--jitter", "1h")
    wait_until(lambda: is_in(worker.pid, "SigCgt", signal.SIGTERM))
    worker.send(signal.SIGTERM)
    assert worker.end(SOON) == 0
    assert "stopping: heard SIGTERM" in worker.said()


def test_a_worker_that_cannot_watch_its_file_looks_at_different_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    nothing: Any = SimpleNamespace(on_write=lambda *_: None)
    watch: Any = SimpleNamespace(pace=POLL_SECONDS, shortage="", drain=lambda: False)
    writes = Writes(watch, nothing, nothing, nothing, nothing, lambda _: None, 10.0)
    writes.run(100.0)
    assert writes.due == 100.0 + POLL_SECONDS + 5.0
