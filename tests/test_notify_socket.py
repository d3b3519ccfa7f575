"""What a worker tells systemd, heard at a real socket."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from prokerja.model.worker import Taking
from prokerja.worker.duties.systemd import Systemd
from prokerja.worker.holds import Holds
from prokerja.worker.notify_socket import NotifySocket
from prokerja.worker.service import Service
from tests.harness.home import inside
from tests.harness.listening import Listener
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

WATCHDOG = 0.4
"""Seconds; systemd would have half a minute more."""


@pytest.fixture
def listener(home: Home) -> Iterator[Listener]:
    listener = Listener(str(home.path / "n"))
    home.in_environment(listener.environment())
    yield listener
    listener.close()


def test_a_worker_is_ready_once_it_can_claim_and_tells_what_it_does(
    home: Home, listener: Listener
) -> None:
    home.run("pass", queue="other")
    id = home.run("wait_for('gate')", queue="urgent")
    worker = home.worker("--queue", "urgent", "--realizers", "2")
    listener.wait("READY=1")
    listener.wait_for_status("queues: urgent; 1 running, 0 pending".__eq__)
    home.run_each(["wait_for('gate')"] * 3, queue="urgent")
    listener.wait_for_status("queues: urgent; 2 running, 2 pending".__eq__)
    home.open("gate")
    listener.wait_for_status("queues: urgent; 0 running, 0 pending".__eq__)
    assert home.job(id)["status"] == "completed"
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    words = listener.words()
    assert (words.count("READY=1"), words.count("STOPPING=1")) == (1, 1)
    assert words[0] == "STATUS=loading the jobs"
    assert words.index("READY=1") < words.index("STOPPING=1")
    assert "STATUS=stopping: heard SIGTERM; 0 running" in words
    assert not any(word.startswith("WATCHDOG") for word in words)


def test_it_is_not_ready_as_long_as_no_realizer_has_loaded_the_jobs(
    home: Home, listener: Listener
) -> None:
    home.write("slow.py", f"import os, time\nwhile not os.path.exists({str(home.path / 'gate')!r}):"
        "\n    time.sleep(0.005)\n")  # fmt: skip
    home.worker()
    listener.wait("STATUS=loading the jobs")
    wait_until(lambda: home.look("SELECT 1 FROM worker"))
    assert "READY=1" not in listener.words()
    home.open("gate")
    listener.wait("READY=1")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has addresses without a file")
def test_an_address_may_be_in_no_directory(home: Home) -> None:
    listener = Listener(f"@prokerja-{os.getpid()}-{time.monotonic_ns()}")
    home.in_environment(listener.environment())
    home.worker()
    listener.wait("READY=1")
    listener.close()


def test_a_status_comes_once_a_second_at_most_and_none_when_nothing_changes(
    home: Home, listener: Listener
) -> None:
    worker = home.worker()
    listener.wait("READY=1")
    listener.wait_for_status("queues: all; 0 running, 0 pending".__eq__)
    began, before = time.monotonic(), len(listener.words())
    ids = home.run_each(["pass"] * 300)
    wait_until(lambda: set(home.statuses(ids)) == {"completed"})
    took = time.monotonic() - began
    assert len(listener.words()) - before <= took + 2
    time_used, heard = sum(psutil.Process(worker.pid).cpu_times()[:2]), len(listener.words())
    wait_until(lambda: time.monotonic() - began > took + 1.5)
    assert len(listener.words()) - heard <= 1
    assert sum(psutil.Process(worker.pid).cpu_times()[:2]) - time_used < 0.2


def test_the_watchdog_hears_of_an_idle_worker_and_of_one_with_a_long_job(
    home: Home, listener: Listener
) -> None:
    home.in_environment(listener.environment(watchdog=WATCHDOG))
    worker = home.worker()
    listener.wait("READY=1")
    id = home.run("os.kill(os.getpid(), signal.SIGSTOP); wait_for('gate')")
    wait_until(lambda: home.running(id))
    heard = listener.words().count("WATCHDOG=1")
    wait_until(lambda: listener.words().count("WATCHDOG=1") >= heard + 4)
    assert home.running(id)
    for realizer in worker.realizers():
        realizer.resume()
    home.open("gate")
    home.wait(id)
    heard = listener.words().count("WATCHDOG=1")
    wait_until(lambda: listener.words().count("WATCHDOG=1") >= heard + 4)


def test_the_watchdog_hears_nothing_of_a_worker_whose_loop_is_stuck(
    home: Home, listener: Listener
) -> None:
    home.in_environment(listener.environment(watchdog=WATCHDOG))
    worker = home.worker()
    listener.wait("READY=1")
    worker.send(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
    heard, stuck_at = listener.words().count("WATCHDOG=1"), time.monotonic()
    wait_until(lambda: time.monotonic() > stuck_at + 3 * WATCHDOG)
    assert listener.words().count("WATCHDOG=1") == heard
    worker.send(signal.SIGCONT)
    wait_until(lambda: listener.words().count("WATCHDOG=1") > heard, SOON)


def test_a_store_that_is_locked_is_no_reason_to_start_again(home: Home, listener: Listener) -> None:
    home.in_environment(listener.environment(watchdog=WATCHDOG))
    home.worker()
    listener.wait("READY=1")
    id = home.run("wait_for('gate')")
    wait_until(lambda: home.running(id))
    with inside(home.queue).database.writing():
        home.open("gate")
        heard = listener.words().count("WATCHDOG=1")
        wait_until(lambda: listener.words().count("WATCHDOG=1") >= heard + 4)
    home.wait(id)


@pytest.mark.parametrize("pid", ["1", "self"])
def test_a_watchdog_of_another_process_is_not_fed(home: Home, listener: Listener, pid: str) -> None:
    home.in_environment(listener.environment(watchdog=WATCHDOG))
    set_pid = 'WATCHDOG_PID=${0#self}; export WATCHDOG_PID=${WATCHDOG_PID:-$$}; exec "$@"'
    home.launcher = ("sh", "-c", set_pid, pid)
    home.worker()
    listener.wait("READY=1")
    listener.wait_for_status("queues: all; 0 running, 0 pending".__eq__)
    assert ("WATCHDOG=1" in listener.words()) is (pid == "self")


def test_jobs_cannot_speak_for_their_worker(home: Home, listener: Listener) -> None:
    home.in_environment(listener.environment(watchdog=60))
    id = home.run("return [name for name in os.environ if name[:6] in ('NOTIFY', 'WATCHD')]")
    home.work()
    assert home.job(id)["result"] == []
    assert "WATCHDOG=1" in listener.words()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/at/all"])
def test_a_worker_works_though_nobody_listens(home: Home, address: str) -> None:
    home.in_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "nonsense"})
    id = home.run("pass")
    home.work()
    assert home.job(id)["status"] == "completed"


def test_who_listens_anew_hears_that_it_is_ready(home: Home, listener: Listener) -> None:
    """Systemd starts itself afresh at times, and nobody is there for a moment."""
    home.in_environment({"NOTIFY_SOCKET": str(home.path / "m")})
    worker = home.worker()
    worker.ready()
    late = Listener(str(home.path / "m"))
    late.wait("READY=1")
    late.close()


def test_a_worker_in_a_program_does_not_speak_for_it(home: Home, listener: Listener) -> None:
    id = home.run("pass")
    code = """
    import sys
    from prokerja import Queue, Worker
    Worker(Queue(sys.argv[1]), sys.argv[2], until_empty=True).run()
    """
    assert home.python(code, home.db, home.jobs).wait(30) == 0
    assert home.job(id)["status"] == "completed"
    assert listener.words() == []


def test_to_start_afresh_is_no_stop(home: Home, listener: Listener) -> None:
    worker = home.worker()
    id = home.run("wait_for('gate')")
    listener.wait_for_status("queues: all; 1 running, 0 pending".__eq__)
    wait_until(lambda: home.running(id))
    before = time.monotonic_ns() // 1000
    worker.send(signal.SIGHUP)
    listener.wait("RELOADING=1")
    [moment] = [word for word in listener.words() if word.startswith("MONOTONIC_USEC=")]
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    other = home.run("pass")
    home.wait(other)  # another worker takes it, which is nobody to systemd
    assert listener.words().count("READY=1") == 1
    home.open("gate")
    home.wait(id)
    wait_until(lambda: listener.words().count("READY=1") == 2)
    assert "STOPPING=1" not in listener.words()
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    listener.wait("STOPPING=1")


def idle_parts() -> Any:
    """Those of a worker that has nothing to do, and has not claimed yet."""
    taking, summary = Taking(), SimpleNamespace(queues=[])
    return SimpleNamespace(
        repository=SimpleNamespace(summary=lambda queue, now: summary),
        requests=SimpleNamespace(reason="", restart=False),
        pool=SimpleNamespace(processes=[], stopping=False),
        turns=SimpleNamespace(has_claimed=False, totals=SimpleNamespace(count=0)),
        holds=Holds(lambda event: None),
        options=SimpleNamespace(taking=lambda: taking, service=Service()),
    )


def test_a_worker_that_takes_no_jobs_for_a_reason_is_ready_and_says_why(
    listener: Listener,
) -> None:
    worker = idle_parts()
    duty = Systemd(worker, NotifySocket(listener.address), None)
    duty.run(0.0)
    worker.holds.hold("disk", "only 12 MB\nare free", 0.0)
    assert duty.due == 0.0
    duty.run(0.0)
    worker.holds.lift("disk")
    worker.turns.has_claimed = True
    assert duty.due == 1.0, "a second after the last"
    duty.run(1.0)
    assert duty.due is None
    listener.words()
    assert listener.messages == [
        ["STATUS=loading the jobs"],
        [
            "READY=1",
            r"STATUS=queues: all; 0 running, 0 pending; taking no jobs: only 12 MB\nare free",
        ],
        ["STATUS=queues: all; 0 running, 0 pending"],
    ]
    duty.close()
