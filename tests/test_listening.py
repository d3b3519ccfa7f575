"""Functions that are called with events: from programs, from workers, and those of listeners.py."""

from __future__ import annotations

import errno
import signal
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from prokerja import Job, Queue, Worker
from prokerja.errors import RequestError
from prokerja.events import (
    Cancelled,
    Completed,
    Declared,
    Event,
    JobEvent,
    Position,
    WorkerStarted,
    WorkerStopped,
)
from prokerja.settings import UNREACHABLE
from prokerja.worker.duties.listeners import Listeners
from prokerja.worker.loop import EventLoop
from tests.harness.processes import children, gone
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.listening import Listener
    from tests.harness.home import Home

HEAD = """
import os, signal, time
from prokerja import on
from prokerja.events import *

def note(line):
    with open("{ledger}", "a") as file:
        file.write(f"{{line}}\\n")
"""


class Greet(Job):
    def payload(self) -> dict[str, Any]:
        return {}

    def handle(self) -> str:
        return "hello"


def ids(events: list[JobEvent]) -> list[int]:
    return [event.id for event in events]


def write_listeners(home: Home, source: str) -> None:
    """Have the worker's listeners be these; `note` writes to the ledger."""
    home.write("listeners.py", HEAD.format(ledger=home.path / "ledger") + textwrap.dedent(source))


# From programs


def test_a_program_hears_of_what_other_processes_do(shell: Home) -> None:
    shell.declare("noop")
    heard: list[JobEvent] = []
    with Queue(shell.db) as queue:
        listener = queue.listen(Declared | Cancelled, heard.append)
        [id] = shell.declare("noop")
        shell("cancel", str(id))
        wait_until(lambda: len(heard) == 2, SOON)
        assert [(type(event), event.id) for event in heard] == [(Declared, id), (Cancelled, id)]
        assert listener.stop()
        shell.declare("noop")
        assert len(heard) == 2


def test_what_has_happened_before_it_is_stopped_is_told(home: Home) -> None:
    heard: list[JobEvent] = []
    listener = home.queue.listen(Declared, heard.append)
    declared = home.run_each(["pass"] * 3000)
    assert listener.stop(SOON * 5)
    assert ids(heard) == list(declared)


def test_a_listener_that_raises_is_told_of_and_hears_the_rest(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[JobEvent] = []

    def fail(event: JobEvent) -> None:
        heard.append(event)
        raise SystemExit("enough")

    others: list[JobEvent] = []
    listeners = [home.queue.listen(Declared, fail), home.queue.listen(Declared, others.append)]
    declared = [home.run("pass"), home.run("pass")]
    assert all(listener.stop() for listener in listeners)
    assert ids(heard) == ids(others) == declared
    [first, _] = caplog.messages
    assert first.endswith("<locals>.fail failed at declared of job 1: SystemExit: enough")


def test_a_listener_that_hangs_is_told_of_once_and_holds_nobody_up(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    heard: list[JobEvent] = []
    stuck = home.queue.listen(Declared, lambda _: gate.wait(), patience=0.05)
    other = home.queue.listen(Declared, heard.append)
    declared = [home.run("pass"), home.run("pass")]
    wait_until(lambda: caplog.messages, SOON)
    wait_until(lambda: ids(heard) == declared, SOON)
    assert other.stop()
    assert not stuck.stop(0.2)
    [busy, left] = caplog.messages
    assert busy.endswith("has been busy for 0.05 s with declared of job 1")
    assert left.endswith("has not ended, and is left behind")
    gate.set()
    assert stuck.stop()


def test_a_listener_may_stop_itself(home: Home) -> None:
    heard: list[JobEvent] = []
    listeners: list[Listener] = []

    def once(event: JobEvent) -> None:
        heard.append(event)
        assert not listeners[0].stop()

    listeners.append(home.queue.listen(Declared, once))
    home.run("pass")
    wait_until(lambda: not listeners[0].is_alive, SOON)
    home.run("pass")
    assert ids(heard) == [1]


@pytest.mark.parametrize(
    ("kind", "function", "options", "fault"),
    [
        ("completed", print, {}, "'completed' is no kind of event"),
        (Completed, "print", {}, "'print' cannot be called"),
        (Completed, print, {"patience": 0}, "patience: 0 does not fit"),
        (Completed, print, {"patience": "10s"}, "patience: '10s' does not fit"),
        (int, print, {}, "a type is no kind of event"),
        (Completed | None, print, {}, "no kind of event"),
        ((), print, {}, "is no kind of event"),
    ],
)
def test_what_cannot_be_listened_to_is_refused(
    home: Home, kind: Any, function: Any, options: dict[str, Any], fault: str
) -> None:
    with pytest.raises(RequestError, match=fault):
        home.queue.listen(kind, function, **options)


@pytest.mark.parametrize("memory", [False, True])
def test_a_worker_s_listeners_hear_of_its_start_its_jobs_and_its_end(
    home: Home, memory: bool
) -> None:
    heard: list[Event] = []
    with Queue(":memory:" if memory else home.db) as queue:
        queue.declare(Greet())
        worker = Worker(queue, jobs=[Greet], until_empty=True)
        worker.listen(Completed | WorkerStarted | WorkerStopped, heard.append)
        worker.run()
    assert [type(event) for event in heard] == [WorkerStarted, Completed, WorkerStopped]


# listeners.py


def test_the_functions_of_listeners_py_are_called_whatever_the_others_do(home: Home) -> None:
    write_listeners(
        home,
        """
        @on(Completed)
        def tell(event):
            note(f"told {event.id} {event.job}")

        @on((Completed, WorkerStopped))
        def fail(event):
            raise ValueError("it is mine")

        @on(Completed, patience=0.05)
        def hang(event):
            time.sleep(0.3)
        """,
    )
    home.run_each(["pass", "pass"])
    worker = home.work()
    assert home.ledger() == ["told 1 run", "told 2 run"]
    said = worker.said()
    for line in (
        "listener fail failed at completed of job 1: ValueError: it is mine",
        "listener fail failed at worker_stopped: ValueError: it is mine",
        "listener hang has been busy for 0.05 s with completed of job 1",
    ):
        assert f"prokerja: {line}\n" in said
    assert "listeners.py" not in said
    assert home.counts()["completed"] == 2


def test_listeners_py_is_no_job_file(home: Home) -> None:
    write_listeners(home, "@on(Completed)\ndef tell(event): pass\n")
    assert [job["name"] for job in home.ask("jobs")["jobs"]] == ["run"]
    assert [job["name"] for job in home.ask("jobs", "--load")["jobs"]] == ["run"]
    assert home.declare_job("run", code="pass") == 1


def test_without_listeners_py_there_is_no_such_process(home: Home) -> None:
    home.run("pass")
    worker = home.worker().ready()
    before = len(children(worker.pid))
    write_listeners(home, "@on(Completed)\ndef tell(event): pass\n")
    other = home.worker().ready()
    wait_until(lambda: len(children(other.pid)) == before + 1)
    assert len(children(worker.pid)) == before


def test_a_process_of_listeners_that_dies_is_started_again_and_goes_on(home: Home) -> None:
    write_listeners(
        home,
        """
        @on(Completed)
        def tell(event):
            note(f"{event.id}")
            if event.id == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    worker = home.worker().ready()
    for _ in range(3):
        home.wait(home.run("pass"))
    wait_until(lambda: home.ledger() == ["1", "2", "3"])
    assert "the process of listeners.py was killed by SIGKILL" in worker.said()
    assert "starting it again in 1.00s" in worker.said()


def test_listeners_that_cannot_be_loaded_are_told_of_and_the_jobs_run(home: Home) -> None:
    write_listeners(home, "import nothing_of_that_name")
    worker = home.worker().ready()
    home.wait(home.run("pass"))
    wait_until(lambda: "starting it again" in worker.said())
    said = worker.said()
    assert "listeners.py cannot be used: ModuleNotFoundError: No module named" in said
    assert "the process of listeners.py exited with status 3; starting it again in 1.00s" in said


def test_an_error_whose_text_is_huge_or_cannot_be_had_ends_no_listener(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise ValueError

    faults = [Shy(), ValueError("\x1b[31m" + "x" * 100_000), OSError("last")]

    def fail(_: JobEvent) -> None:
        raise faults[len(caplog.messages)]

    listener = home.queue.listen(Declared, fail)
    home.run_each(["pass"] * 3)
    assert listener.stop()
    shy, huge, last = (line.partition("failed at ")[2] for line in caplog.messages)
    assert shy == "declared of job 1: Shy, whose text cannot be shown"
    assert huge.startswith("declared of job 2: ValueError: \\x1b[31mxxx")
    assert len(huge) < 400
    assert last == "declared of job 3: OSError: last"


def test_a_listener_that_hangs_at_the_end_keeps_nothing_from_the_others(home: Home) -> None:
    write_listeners(
        home,
        """
        @on(Declared)
        def hang(event):
            time.sleep(99)

        @on(WorkerStopped)
        def end(event):
            note("end")
        """,
    )
    worker = home.worker().ready()
    home.wait(home.run("pass"))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert home.ledger() == ["end"]
    assert "listener end " not in worker.said()
    assert "listener hang has not ended, and is left behind" in worker.said()


def test_where_no_descriptor_is_left_listeners_are_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    loop = EventLoop()
    listeners = Listeners(UNREACHABLE, str(tmp_path), Position(), {}, loop, told.append)

    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("os.pipe", fail)
    listeners.run(7.0)
    monkeypatch.undo()
    assert listeners.due == 8.0
    [ended] = told
    assert "no file descriptor left" in ended.how
    listeners.close(forced=True)
    loop.close()


def test_listeners_die_with_a_killed_worker_and_are_ended_if_they_hang(home: Home) -> None:
    write_listeners(
        home, "@on(Declared)\ndef hang(event):\n    note(os.getpid())\n    time.sleep(99)\n"
    )
    worker = home.worker().ready()
    home.run("pass")
    wait_until(home.ledger)
    process = psutil.Process(int(home.ledger()[0]))
    worker.kill()
    wait_until(lambda: gone(process), SOON)
