"""Async jobs: one by one in any realizer, and many at once in one that may."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Job
from prokerja.testing import InProcessQueue
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home
    from tests.harness.worker import Worker


@dataclass
class Double(Job):
    n: int

    async def handle(self) -> int:
        await asyncio.sleep(0)
        return 2 * self.n


ARUN = """
import asyncio
from dataclasses import dataclass

from jobs.run import *
from prokerja import Await, GiveUp, Later


async def wait_in_loop(gate):
    while not os.path.exists(os.path.join(HOME, gate)):
        await asyncio.sleep(0.005)


@dataclass
class Arun(Job):
    code: str

    async def handle(self):
        scope = {**globals(), "self": self}
        exec("async def body():\\n" + textwrap.indent(self.code, "    "), scope)
        return await scope["body"]()


@dataclass
class Hooked(Job):
    code: str

    async def handle(self):
        note("handle")
        return await Arun(self.code).handle()

    def status_changed(self, was, status, why):
        note(f"{was} {status}")

    def cleanup(self):
        note("cleanup")


@dataclass
class Ask(Job):
    port: int

    async def handle(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = await reader.readline()
        writer.close()
        return answer.decode()
"""
WAIT = "await wait_in_loop('gate')"
CLEAN_UP = """
try:
    await wait_in_loop("never")
finally:
    await asyncio.sleep(0.05)
    note(f"cleaned up {id}")
"""


@pytest.fixture
def ahome(home: Home) -> Home:
    home.write("arun.py", ARUN)
    return home


def arun(home: Home, code: str, **options: Any) -> int:
    return home.declare_job("arun", code=code.strip(), options=options)


def wide(home: Home, *words: object, width: int = 8) -> Worker:
    return home.worker("--concurrency", width, *words)


def work(home: Home, *words: object, width: int = 8) -> Worker:
    return home.work("--concurrency", width, *words)


def both_loops(home: Home, loop: str) -> None:
    """Let the realizers find uvloop, or not."""
    if loop == "asyncio":
        place = home.path / "without"
        place.mkdir()
        (place / "uvloop.py").write_text("raise ImportError")
        home.in_environment({"PYTHONPATH": str(place)})


loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
widths = pytest.mark.parametrize("width", [1, 8], ids=["alone", "beside others"])


class Server:
    """Answers all that ask once enough of them ask at the same time."""

    def __init__(self, listener: socket.socket, many: int) -> None:
        self.port = listener.getsockname()[1]
        self.most = 0
        self._listener = listener
        self._many = many
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        asking: list[socket.socket] = []
        while self.most < self._many:
            asking.append(self._listener.accept()[0])
            self.most = len(asking)
        for one in asking:
            with one:
                one.sendall(b"yes\n")


@contextmanager
def server(many: int) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0), backlog=many) as listener:
        yield Server(listener, many)


@loops
def test_200_jobs_wait_for_a_socket_at_once_in_one_realizer(ahome: Home, loop: str) -> None:
    both_loops(ahome, loop)
    with server(200) as asked:
        ids = ahome.declare_many("ask", [{"port": asked.port}] * 200)
        work(ahome, width=200)
        assert asked.most == 200
    assert Counter(ahome.statuses(ids)) == {"completed": 200}
    assert ahome.job(ids[0])["result"] == "yes\n"


def test_no_more_are_in_flight_than_the_worker_was_told(ahome: Home) -> None:
    ids = [arun(ahome, f"note('begin')\n{WAIT}\nnote('end')") for _ in range(5)]
    worker = wide(ahome, "--until-empty", width=3)
    wait_until(lambda: ahome.ledger() == ["begin"] * 3)
    ahome.open("gate")
    assert worker.end() == 0
    assert Counter(ahome.statuses(ids)) == {"completed": 5}


@widths
def test_an_async_job_does_all_that_a_plain_one_does(ahome: Home, width: int) -> None:
    id = arun(
        ahome,
        """
        async def double(n):
            note("step")
            await asyncio.sleep(0)
            return 2 * n
        self.progress(1, 2, "half")
        self.declare(type(self)("return 'follow-up'"))
        doubled = await self.step("double", double, 4)
        again = await self.step("double", double, 5)
        plain = self.step("plain", len, "abc")
        return [doubled, again, plain]
        """.replace("\n        ", "\n"),
    )
    work(ahome, width=width)
    job = ahome.job(id)
    assert job["result"] == [8, 8, 3]
    assert [step["step"] for step in job["steps"]] == ["double", "plain"]
    assert job["progress"]["text"] == "half"
    assert ahome.job(id + 1)["result"] == "follow-up"
    assert ahome.ledger() == ["step"]


@widths
def test_an_async_job_steers_and_has_hooks(ahome: Home, width: int) -> None:
    given_up = arun(ahome, "raise GiveUp('no use')", retries=3)
    failed = arun(ahome, "raise ValueError('bad')")
    id = ahome.declare_job("hooked", code="return Await()")
    worker = wide(ahome, width=width)
    wait_until(lambda: ahome.job(id)["awaiting"])
    ahome.cli("resolve", id, "--data", "7")
    assert ahome.wait(id)["result"] == 7
    assert ahome.wait(given_up, "failed")["error"] == "no use"
    assert ahome.wait(failed, "failed")["error"] == "ValueError: bad"
    wait_until(lambda: "cleanup" in ahome.ledger())
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


def test_a_time_limit_ends_one_job_and_no_other(ahome: Home) -> None:
    late = arun(ahome, CLEAN_UP.replace("{id}", "1"), timeout=0.3)
    other = arun(ahome, f"note('begin')\n{WAIT}")
    worker = wide(ahome)
    assert ahome.wait(late, "failed")["error"] == "ran longer than 0.3 s"
    assert ahome.ledger() == ["begin", "cleaned up 1"]
    assert ahome.statuses([other]) == ["processing"]
    ahome.open("gate")
    assert ahome.wait(other)["attempts"] == 1
    assert ahome.ledger() == ["begin", "cleaned up 1"]
    assert "killed" not in worker.said()


def test_cancelling_one_job_ends_no_other(ahome: Home) -> None:
    id = arun(ahome, CLEAN_UP.replace("{id}", "1"), retries=3)
    other = arun(ahome, WAIT)
    wide(ahome)
    wait_until(lambda: ahome.running(id) and ahome.running(other))
    ahome.cli("cancel", id)
    assert "cancelled" in ahome.wait(id, "failed")["error"]
    assert ahome.ledger() == ["cleaned up 1"]
    assert ahome.statuses([other]) == ["processing"]
    ahome.open("gate")
    assert ahome.wait(other)["attempts"] == 1


@loops
def test_a_job_that_blocks_the_loop_past_its_limit_fails_and_the_others_go_back(
    ahome: Home, loop: str
) -> None:
    both_loops(ahome, loop)
    other = arun(ahome, CLEAN_UP.replace("{id}", "2").replace("never", "gate"))
    blocks = arun(ahome, "await asyncio.sleep(0.1)\ntime.sleep(600)", timeout=0.3)
    wide(ahome)
    assert ahome.wait(blocks, "failed")["error"] == "ran longer than 0.3 s"
    assert "cleaned up 2" in ahome.ledger()
    ahome.open("gate")
    assert ahome.wait(other)["attempts"] == 1


def test_a_job_that_takes_its_process_down_fails_and_the_others_go_back(ahome: Home) -> None:
    other = arun(ahome, WAIT)
    bad = arun(ahome, "await asyncio.sleep(0.1)\nos.kill(os.getpid(), signal.SIGSEGV)")
    wide(ahome)
    assert "SIGSEGV" in ahome.wait(bad, "failed")["error"]
    ahome.open("gate")
    assert ahome.wait(other)["attempts"] == 1


def test_what_had_ended_is_not_repeated_when_its_realizer_is_killed(ahome: Home) -> None:
    ids = [arun(ahome, f"note('once')\nawait asyncio.sleep(0)\nreturn {n}") for n in range(5)]
    bad = arun(
        ahome,
        "while len(open(LEDGER).readlines()) < 5: await asyncio.sleep(0)\n"
        "await asyncio.sleep(0)\nos.kill(os.getpid(), signal.SIGKILL)",
    )
    work(ahome)
    assert ahome.statuses([*ids, bad]) == ["completed"] * 5 + ["failed"]
    assert ahome.ledger() == ["once"] * 5


def test_all_in_flight_run_again_when_their_worker_is_killed(ahome: Home) -> None:
    ids = [arun(ahome, f"note('begin')\n{WAIT}") for _ in range(4)]
    worker = wide(ahome)
    wait_until(lambda: len(ahome.ledger()) == 4)
    worker.kill()
    ahome.open("gate")
    work(ahome)
    assert ahome.statuses(ids) == ["completed"] * 4
    assert len(ahome.ledger()) == 8


@loops
def test_all_in_flight_clean_up_and_go_back_when_the_grace_time_is_over(
    ahome: Home, loop: str
) -> None:
    both_loops(ahome, loop)
    ids = [arun(ahome, CLEAN_UP.replace("{id}", str(n))) for n in range(3)]
    worker = wide(ahome, "--grace", "0s")
    wait_until(lambda: all(map(ahome.running, ids)))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert sorted(ahome.ledger()) == [f"cleaned up {n}" for n in range(3)]
    assert ahome.statuses(ids) == ["pending"] * 3
    assert [ahome.job(id)["attempts"] for id in ids] == [0] * 3


def test_jobs_end_within_the_grace_time_and_none_begins(ahome: Home) -> None:
    ids = [arun(ahome, WAIT) for _ in range(5)]
    worker = wide(ahome, width=3)
    wait_until(lambda: all(map(ahome.running, ids[:3])))
    worker.send(signal.SIGTERM)
    wait_until(lambda: "stopping" in worker.said())
    ahome.open("gate")
    assert worker.end() == 0
    assert ahome.statuses(ids) == ["completed"] * 3 + ["pending"] * 2


def test_each_job_has_its_own_output_whoever_prints_for_it(ahome: Home) -> None:
    code = """
print("{n} begins,", end=" ")
await asyncio.sleep(0.02)
print("{n} goes on")
await asyncio.to_thread(print, "{n} in a thread")
await asyncio.get_running_loop().run_in_executor(None, print, "{n} in another")
await asyncio.gather(*[asyncio.create_task(part("{n}"))])
print("{n} complains", file=sys.stderr)
"""
    part = "async def part(n):\n    await asyncio.sleep(0.01)\n    print(n, 'in a task')\n"
    ids = [arun(ahome, part + code.format(n=n)) for n in range(6)]
    work(ahome)
    for n, id in enumerate(ids):
        assert ahome.cli("output", id).splitlines() == [
            f"{n} begins, {n} goes on", f"{n} in a thread", f"{n} in another", f"{n} in a task",
            f"{n} complains",
        ]  # fmt: skip


def test_plain_jobs_run_between_the_async_ones(ahome: Home) -> None:
    """Outside of the loop, so that they may have one of their own."""
    waiting = [arun(ahome, WAIT) for _ in range(3)]
    plain = [
        ahome.run("import asyncio\nasyncio.run(asyncio.sleep(0.01))\nprint('plain')\nreturn 1")
        for _ in range(3)
    ]
    wide(ahome)
    for id in plain:
        assert ahome.wait(id)["result"] == 1
        assert ahome.cli("output", id) == "plain\n"
    assert ahome.statuses(waiting) == ["processing"] * 3
    ahome.open("gate")
    for id in waiting:
        ahome.wait(id)


def test_a_plain_job_that_breaks_its_limit_fails_and_the_async_ones_go_back(ahome: Home) -> None:
    other = arun(ahome, CLEAN_UP.replace("{id}", "2").replace("never", "gate"))
    plain = ahome.run("wait_for('never')", timeout=0.3)
    wide(ahome)
    assert ahome.wait(plain, "failed")["error"] == "ran longer than 0.3 s"
    assert ahome.ledger() == ["cleaned up 2"]
    ahome.open("gate")
    assert ahome.wait(other)["attempts"] == 1


@widths
def test_what_an_async_job_changes_in_its_process_is_put_back(ahome: Home, width: int) -> None:
    arun(ahome, "os.environ['LEFT'] = 'behind'; os.chdir('/')")
    seen = arun(ahome, "await asyncio.sleep(0.1)\nreturn [os.environ.get('LEFT'), os.getcwd()]")
    work(ahome, width=width)
    assert ahome.job(seen)["result"] == [None, str(ahome.path)]


@widths
def test_tasks_that_a_job_leaves_behind_are_cancelled(ahome: Home, width: int) -> None:
    arun(
        ahome,
        "async def late():\n"
        "    try: await asyncio.sleep(600)\n"
        "    except asyncio.CancelledError: note('cancelled')\n"
        "self.task = asyncio.create_task(late())\nawait asyncio.sleep(0)",
    )
    work(ahome, width=width)
    assert ahome.ledger() == ["cancelled"]


def test_a_job_that_others_run_beside_is_not_suspended_and_the_log_says_so(ahome: Home) -> None:
    id, other = arun(ahome, WAIT), arun(ahome, WAIT)
    worker = wide(ahome)
    wait_until(lambda: ahome.running(id) and ahome.running(other))
    ahome.cli("suspend", id)
    wait_until(lambda: f"job {id} arun: cannot be suspended" in worker.said())
    ahome.open("gate")
    ahome.wait(id)
    ahome.wait(other)


def test_many_short_async_jobs_complete_with_their_own_results(ahome: Home) -> None:
    ids = ahome.declare_many("arun", [{"code": f"return {n}"} for n in range(2000)])
    work(ahome)
    results = ahome.look("SELECT id, result FROM declaration ORDER BY id")
    assert [int(result) for _, result in results] == list(range(2000))
    assert Counter(ahome.statuses(ids)) == {"completed": 2000}


def test_an_async_job_runs_in_the_process_of_a_test() -> None:
    with InProcessQueue() as queue:
        ids = [queue.declare(Double(n)) for n in range(3)]
        queue.drain(raise_errors=True)
        assert [queue.result(id) for id in ids] == [0, 2, 4]


def test_a_realizer_that_is_too_large_begins_no_more_and_what_runs_ends(ahome: Home) -> None:
    waiting = arun(ahome, WAIT)
    large = arun(ahome, "global kept\nkept = bytearray(300 * 2**20)\nreturn os.getpid()")
    worker = wide(ahome, "--memory-limit", "250M")
    pid = ahome.wait(large)["result"]
    after = arun(ahome, "return os.getpid()")
    wait_until(lambda: "250" in worker.said())
    assert ahome.statuses([waiting, after]) == ["processing", "pending"]
    ahome.open("gate")
    assert ahome.wait(waiting)["attempts"] == 1
    assert ahome.wait(after)["result"] != pid
