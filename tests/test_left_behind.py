"""What jobs leave running: it is told of once, and kept from the jobs after them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.harness.processes import gone
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

LOOK = """
names = [one.name for one in threading.enumerate()]
children = [one.name() for one in psutil.Process().children()]
return [os.getpid(), names, children]
"""
THREADS = {
    "a thread": "threading.Thread(target=time.sleep, args=(600,), name='stray').start()",
    "a daemon": (
        "threading.Thread(target=time.sleep, args=(600,), name='stray', daemon=True).start()"
    ),
    "an executor": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ThreadPoolExecutor(1, 'stray').submit(time.sleep, 600)"
    ),
    "an event loop": (
        "import asyncio\nloop = asyncio.new_event_loop()\n"
        "threading.Thread(target=loop.run_forever, name='stray', daemon=True).start()"
    ),
}
PROCESSES = {
    "a process": "child = subprocess.Popen(['sleep', '600'])\nnote(child.pid)",
    "a deaf process": (
        "child = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; echo; while :; do sleep 1; done'],"
        " stdout=subprocess.PIPE)\nchild.stdout.readline()\nnote(child.pid)"
    ),
    "an orphan": "subprocess.run(['sh', '-c', 'sleep 600 & echo $! >> ' + LEDGER])",
    "a fork": "pid = os.fork()\nif not pid:\n    time.sleep(600)\nnote(pid)",
    "multiprocessing": (
        "from multiprocessing import get_context\n"
        "child = get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "child.start()\nnote(child.pid)"
    ),
}


def looks(home: Home, code: str) -> tuple[list[Any], list[Any], str]:
    """What a job finds before and after two that run this, and what the worker says."""
    before, *_, after = home.run_each([LOOK, code, code, LOOK])
    worker = home.work()
    assert home.counts()["completed"] == 4
    assert [home.job(id)["attempts"] for id in range(before, after + 1)] == [1] * 4
    return home.job(before)["result"], home.job(after)["result"], worker.said()


@pytest.mark.parametrize("what", THREADS)
def test_a_thread_is_kept_from_the_next_job_with_its_process(home: Home, what: str) -> None:
    (pid, *before), (other, *after), said = looks(home, THREADS[what])
    assert after == before
    assert other != pid
    assert said.count("run leaves something running: a thread (stray") == 1
    assert said.count("is replaced each time") == 1
    assert "changed its process" not in said


@pytest.mark.parametrize("what", PROCESSES)
def test_a_process_is_ended_before_the_next_job(home: Home, what: str) -> None:
    if "orphan" in what and sys.platform != "linux":
        pytest.skip("what has lost its parent is out of reach")
    before, after, said = looks(home, PROCESSES[what])
    assert after == before
    assert said.count("run leaves something running: a process (") == 1
    assert said.count("which is ended each time") == 1
    for line in home.ledger():
        assert not psutil.pid_exists(int(line)) or gone(psutil.Process(int(line)))


def test_what_a_short_job_has_left_is_ended_while_its_worker_goes_on(home: Home) -> None:
    home.worker()
    id = home.run(PROCESSES["a process"])
    home.wait(id)
    [line] = home.ledger()
    wait_until(lambda: not psutil.pid_exists(int(line)), SOON)


def test_tasks_are_ended_before_the_next_job(home: Home) -> None:
    code = """
    import asyncio
    async def stray():
        try:
            await asyncio.sleep(600)
        finally:
            note("cancelled")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    kept = loop.create_task(stray(), name="stray")
    loop.run_until_complete(asyncio.sleep(0))
    """
    home.run(code)
    after = home.run("note('next')\nimport asyncio\nreturn asyncio.get_event_loop().is_closed()")
    said = home.work().said()
    assert home.ledger() == ["cancelled", "next"]
    assert home.job(after)["result"] is False
    assert "run leaves something running: a task (stray); which is ended each time" in said


def test_a_pool_ends_with_its_process(home: Home) -> None:
    code = """
    from multiprocessing import get_context
    pool = get_context("fork").Pool(2)
    globals()["kept"] = pool
    for one in psutil.Process().children(): note(one.pid)
    """
    home.run(code)
    home.worker()
    home.wait(home.run(LOOK))
    pids = list(map(int, home.ledger()))
    assert len(pids) == 2
    wait_until(lambda: not any(map(psutil.pid_exists, pids)))


def test_what_is_detached_on_purpose_goes_on_until_its_realizer_ends(home: Home) -> None:
    code = (
        "note(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)\nreturn os.getpid()"
    )
    worker = home.worker()
    first = home.wait(home.run(code))["result"]
    assert home.wait(home.run("return os.getpid()"))["result"] == first
    detached = psutil.Process(int(home.ledger()[0]))
    assert not gone(detached)
    worker.process.terminate()
    assert worker.end() == 0
    assert gone(detached)
    assert "leaves something" not in worker.said()


def test_what_ends_by_itself_and_what_a_job_file_has_started_is_left_alone(home: Home) -> None:
    home.write(
        "settled.py",
        """
        import multiprocessing, os, subprocess, threading, time
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        from dataclasses import dataclass
        from prokerja import Job

        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        if multiprocessing.parent_process() is None:
            child = subprocess.Popen(["sleep", "600"])

        def double(n):
            return 2 * n

        @dataclass
        class Tidy(Job):
            def handle(self):
                with ThreadPoolExecutor(3) as pool:
                    list(pool.map(double, range(9)))
                ThreadPoolExecutor(1).shutdown(wait=False)
                for how in ("fork", "spawn", "forkserver"):
                    with ProcessPoolExecutor(1, multiprocessing.get_context(how)) as pool:
                        list(pool.map(double, range(3)))
                queue = multiprocessing.Queue()
                queue.put("x" * 100)
                queue.get()
                self.progress(1, 2)
                os.system("true")
                subprocess.Popen(["true"])
                return [os.getpid(), child.poll()]
        """,
    )
    ids = [home.declare_job("tidy") for _ in range(3)]
    said = home.work().said()
    found = [home.job(id)["result"] for id in ids]
    assert found == [found[0]] * 3
    assert found[0][1] is None
    assert "leaves something" not in said


def test_one_that_is_asked_to_end_has_time_to_do_so(home: Home) -> None:
    script = (
        f"trap 'echo tidy >> {home.path}/ledger; exit' TERM; echo; while :; do sleep 0.01; done"
    )
    home.run(
        f"child = subprocess.Popen(['sh', '-c', {script!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    home.work()
    assert home.ledger() == ["tidy"]


def test_the_end_of_a_job_is_written_before_what_it_has_left_is_ended(home: Home) -> None:
    home.worker()
    id = home.run(PROCESSES["a deaf process"])
    home.wait(id)
    assert psutil.pid_exists(int(home.ledger()[0]))


BESIDE = """
import asyncio, subprocess
from dataclasses import dataclass
from prokerja import Job
from jobs.run import note, wait_for

@dataclass
class Strays(Job):
    async def handle(self):
        self.kept = asyncio.create_task(asyncio.sleep(600), name="stray")
        await asyncio.to_thread(int)

@dataclass
class Starts(Job):
    async def handle(self):
        child = subprocess.Popen(["sleep", "600"])
        note(child.pid)
        await asyncio.to_thread(wait_for, "gate")
        return child.poll()
"""


@pytest.mark.parametrize("width", [1, 10])
def test_tasks_of_async_jobs_are_told_of(home: Home, width: int) -> None:
    home.write("beside.py", BESIDE)
    for _ in range(3):
        home.declare_job("strays")
    said = home.work("--concurrency", str(width)).said()
    assert said.count("strays leaves something running: a task (stray); which is ended") == 1
    assert "thread" not in said
    assert home.counts()["completed"] == 3


def test_what_runs_beside_other_jobs_is_ended_once_none_runs(home: Home) -> None:
    home.write("beside.py", BESIDE)
    worker = home.worker("--concurrency", "10")
    id = home.declare_job("starts")
    child = psutil.Process(int(wait_until(home.ledger)[0]))
    for other in (home.declare_job("strays"), home.run("subprocess.run(['true'])")):
        home.wait(other)
    assert not gone(child)
    home.open("gate")
    assert home.wait(id)["result"] is None
    wait_until(lambda: gone(child), SOON)
    wait_until(lambda: "starts leaves something running: a process (sleep)" in worker.said())
    assert "is replaced each time" not in worker.said()
