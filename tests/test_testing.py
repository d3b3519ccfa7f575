"""The helpers for those who test their own jobs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

import prokerja
from prokerja import AsyncQueue, Await, GiveUp, Job, Later, Queue, declare, testing
from prokerja.errors import BadOption, CatalogError, JobFailed, RequestError, WaitedTooLong
from prokerja.model.declaration import SHELL, Declaration, Lane
from prokerja.model.flow import Flow
from prokerja.queue import default_queue
from tests.harness.lives import LIVES, Play, Told, facts, states
from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.testing import InProcessQueue


@dataclass
class Mail(Job):
    to: str
    copies: int = 1
    tags: tuple[str, ...] = ()
    error: str = ""

    retries = 2
    retry_after = 60

    def handle(self) -> str:
        if self.error:
            raise ValueError(self.error)
        return f"to {self.to}"


def named_mail(flow: Flow | None = None, payload: str = '{"to": "x"}') -> Declaration:
    return Declaration(Lane("default", "mail", 0, "", flow), payload, 0.0, 0, 0.0, None)


@pytest.fixture
def queue() -> Iterator[InProcessQueue]:
    with testing.queue() as queue:
        yield queue


# The life of a job


def played(
    queue: Queue, path: Path, settle: Callable[[Callable[[], dict[int, str]], dict[int, str]], None]
) -> list[Any]:
    """What comes of all lives, one after the other; and what their jobs have written."""
    for life in LIVES:
        for wanted in life(queue, str(path / life.__name__)):
            settle(lambda ids=tuple(wanted): states(queue, ids), wanted)  # type: ignore[misc]
    logs = {file.name: file.read_text() for file in sorted(path.iterdir())}
    return [*facts(queue), logs]


def test_a_job_lives_in_this_process_as_it_does_with_a_worker(tmp_path: Path) -> None:
    here, there = tmp_path / "log", tmp_path / "other"

    def drain(found: Callable[[], dict[int, str]], wanted: dict[int, str]) -> None:
        for _ in range(4):
            own.drain()
            own.advance(1)
        assert found() == wanted

    def wait(found: Callable[[], dict[int, str]], wanted: dict[int, str]) -> None:
        wait_until(lambda: found() == wanted)

    here.mkdir()
    with testing.queue() as own:
        mine = played(own, here, drain)
    here.rename(there)
    here.mkdir()
    with testing.worker([Play, Told]) as other:
        theirs = played(other, here, wait)
    for one, same in zip(mine, theirs, strict=True):
        assert one == same


def test_nothing_runs_until_it_is_drained_and_then_all_that_is_due(queue: InProcessQueue) -> None:
    now, later = queue.declare(Mail("now")), queue.declare(Mail("later"), delay=3600)
    at = queue.declare(Mail("at"), at=queue.now + timedelta(hours=1, seconds=1))
    assert queue.job(now).status == "pending"
    assert queue.drain().ids("completed") == [now]
    assert queue.drain().attempts == []
    queue.advance("1h")
    assert queue.drain().ids("completed") == [later]
    queue.now = queue.now + timedelta(seconds=1)
    assert queue.drain().ids("completed") == [at]
    assert queue.job(at).started_at == queue.job(at).finished_at == queue.now


def test_the_clock_stands_still_where_it_is_set() -> None:
    with testing.queue(now=datetime(2030, 1, 31, 18, tzinfo=UTC)) as queue:
        id = queue.declare(Mail("you"))
        queue.advance(90)
        queue.advance(timedelta(days=1))
        queue.advance("2h")
        assert queue.now == datetime(2030, 2, 1, 20, 1, 30, tzinfo=UTC)
        assert queue.job(id).declared_at == datetime(2030, 1, 31, 18, tzinfo=UTC)
        queue.now = 0.0
        assert queue.now.year == 1970


def test_retries_wait_exactly_as_long_as_their_class_says(queue: InProcessQueue) -> None:
    id = queue.declare(Mail("you", error="no"))
    tried = []
    for seconds in (0, 59, 1, 119, 1):
        queue.advance(seconds)
        tried.append([one.outcome for one in queue.drain().attempts])
    assert tried == [["retrying"], [], ["retrying"], [], ["failed"]]
    assert (queue.job(id).attempts, queue.job(id).error) == (3, "ValueError: no")


def test_what_a_job_declares_waits_by_the_same_clock(queue: InProcessQueue) -> None:
    @dataclass
    class Parent(Job):
        def handle(self) -> None:
            queue.advance(5)
            self.declare(Mail("child"), delay=60)

    id = queue.declare(Parent())
    queue.drain()
    parent, [child] = queue.job(id), queue.declared(Mail, to="child")
    assert parent.started_at is not None
    assert parent.finished_at == parent.started_at + timedelta(seconds=5) == queue.now
    assert child.due_at == queue.now + timedelta(seconds=60)
    queue.advance(60)
    assert queue.drain().ids("completed") == [child.id]


def test_what_a_job_declares_by_itself_runs_before_what_matters_less(
    queue: InProcessQueue,
) -> None:
    @dataclass
    class Parent(Job):
        def handle(self) -> None:
            declare(Mail("urgent"), priority=5)
            queue.drain()  # one inside the other

    first, second = queue.declare(Parent()), queue.declare(Mail("usual"))
    assert queue.drain().ids("completed") == [first]
    assert [queue.job(id).status for id in (second, 3)] == ["completed", "completed"]


def test_commands_run_too(queue: InProcessQueue, tmp_path: Path) -> None:
    file = tmp_path / "made"
    payload = f'{{"argv": ["touch", "{file}"], "cwd": "/", "env": {{}}}}'
    queue.register([Declaration(Lane("q", SHELL, 0), payload, 0.0, 0, 0.0, None)], 0.0)
    queue.drain(raise_errors=True)
    assert file.exists()


def test_rates_and_pauses_go_by_the_same_clock() -> None:
    flow = Flow(rate_key="k", max_starts=1, rate_seconds=60.0)
    with testing.queue(Mail) as queue:
        queue.register([named_mail(flow), named_mail(flow)], queue.now.timestamp())
        queue.declare(Mail("paused"), queue="slow")
        queue.pause_queue("slow", until=90)
        ran = []
        for _ in range(3):
            ran.append(queue.drain().ids("completed"))
            queue.advance(45)
        assert ran == [[1], [], [2, 3]]


def test_jobs_take_from_the_resources_that_there_are() -> None:
    for resources, ran in (({}, []), ({"gpu": 1}, [1, 2])):
        with testing.queue(Mail, resources=resources) as queue:
            for _ in range(2):
                queue.register([named_mail(Flow(needs=(("gpu", 1),)))], 0.0)
            assert queue.drain().ids("completed") == ran


# Errors


def test_an_error_is_kept_and_raised_at_once_if_wanted(queue: InProcessQueue) -> None:
    error, gives_up = queue.declare(Mail("you", error="no")), queue.declare(Mail("you"))
    with pytest.raises(ValueError, match="no") as caught:
        queue.drain(raise_errors=True)
    assert caught.value.__notes__ == [f"in job {error} mail"]
    assert (queue.job(error).attempts, queue.job(gives_up).status) == (1, "pending")
    queue.drain(raise_errors=True)
    queue.advance("1d")
    queue.drain()
    queue.advance("1d")
    with pytest.raises(JobFailed, match="no"):
        queue.result(error, timeout=10)


@pytest.mark.parametrize(
    ("said", "status"), [(Later(1), "pending"), (Await(), "processing"), (GiveUp("x"), "failed")]
)
def test_only_what_a_job_fails_of_is_an_error(
    queue: InProcessQueue, said: Any, status: str
) -> None:
    @dataclass
    class Says(Job):
        def handle(self) -> Any:
            return said

    id = queue.declare(Says())
    if status == "failed":
        with pytest.raises(GiveUp):
            queue.drain(raise_errors=True)
    else:
        queue.drain(raise_errors=True)
    assert queue.job(id).status == status


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_ends_the_tests_ends_them_inside_a_job_too(
    queue: InProcessQueue, error: type[BaseException]
) -> None:
    @dataclass
    class Interrupts(Job):
        def handle(self) -> None:
            raise error

    id = queue.declare(Interrupts())
    with pytest.raises(error):
        queue.drain()
    assert queue.job(id).status == "failed"


def test_what_goes_wrong_in_hooks_is_told(queue: InProcessQueue, tmp_path: Path) -> None:
    queue.declare(Told(str(tmp_path / "log")))
    done = queue.drain()
    assert [one.outcome for one in done.attempts] == ["completed"]
    assert done.hook_errors == ["job 1 told: cleanup: RuntimeError: this changes nothing"]


def test_jobs_without_end_are_noticed(queue: InProcessQueue) -> None:
    @dataclass
    class Again(Job):
        def handle(self) -> None:
            self.declare(Again())

    queue.declare(Again())
    with pytest.raises(RuntimeError, match="10 attempts, and a again is due"):
        queue.drain(most=10)
    assert queue.summary().total.counts()["completed"] == 10
    assert queue.summary().total.counts()["processing"] == 0


def test_a_payload_that_its_class_does_not_take_is_refused(queue: InProcessQueue) -> None:
    queue.declare(Mail("you"))
    queue.register([named_mail(payload='{"whom": 1}')], 0.0)
    refused = queue.drain().attempts[0]
    assert (refused.id, refused.outcome) == (2, "refused")
    assert "takes no 'whom' and needs 'to'" in str(refused.error)
    assert queue.job(2).status == "pending"


def test_a_class_that_no_worker_could_load_is_an_error(queue: InProcessQueue) -> None:
    @dataclass
    class Mail(Job):
        def handle(self) -> None: ...

    queue.declare(Mail())
    queue.declare(globals()["Mail"]("you"))
    with pytest.raises(CatalogError, match="two jobs are called 'mail'"):
        queue.drain()
    with pytest.raises(RequestError), testing.queue() as other:
        other.declare("not a job")  # type: ignore[arg-type]


def test_only_what_was_declared_or_is_given_can_run() -> None:
    with testing.queue() as queue:
        queue.register([named_mail()], 0.0)
        assert queue.drain().attempts == []
    with testing.queue(Mail) as queue:
        queue.register([named_mail()], 0.0)
        assert queue.drain().ids("completed") == [1]


# Waiting


def test_to_wait_is_to_run_what_is_due_and_never_to_sleep(queue: InProcessQueue) -> None:
    id, late = queue.declare(Mail("you"), batch="b"), queue.declare(Mail("you"), delay=1)
    assert queue.wait(id) == "completed"
    assert queue.wait([id]) == {id: "completed"}
    assert queue.wait_for_batch("b") == {"completed": 1, "failed": 0}
    with pytest.raises(WaitedTooLong):
        queue.wait(late)
    queue.advance(1)
    assert queue.result(late, timeout=60) == "to you"


# What was declared


def test_declarations_are_found_by_class_and_values(queue: InProcessQueue) -> None:
    queue.declare_many([Mail("a", 2, ("x", "y")), Mail("b"), Mail("a")])
    assert [job.id for job in queue.declared(Mail)] == [1, 2, 3]
    assert [job.id for job in queue.declared(Mail, 2, to="a")] == [1, 3]
    assert queue.declared("mail", copies=2)[0].payload["tags"] == ["x", "y"]
    assert queue.declared(Mail, 1, to=ANY, tags=("x", "y"))
    queue.drain()
    assert queue.declared(Mail, to="b")[0].result == "to b"
    queue.not_declared(Mail, to="c")


def test_what_was_not_declared_is_an_error_that_lists_what_was(queue: InProcessQueue) -> None:
    with pytest.raises(AssertionError, match=r"^mail was not declared; nothing was$"):
        queue.declared(Mail)
    queue.declare(Mail("a"))
    shown = "1 mail(to='a', copies=1, tags=[], error=''), pending"
    asked: dict[str, Callable[[], object]] = {
        "not declared with to='b'; what was": lambda: queue.declared(Mail, to="b"),
        "not declared 2 times but 1 time; what was": lambda: queue.declared(Mail, 2),
        "declared with to='a'": lambda: queue.not_declared(Mail, to="a"),
    }
    for error, ask in asked.items():
        with pytest.raises(AssertionError) as caught:
            ask()
        assert str(caught.value) == f"mail was {error}:\n  {shown}"
    with pytest.raises(TypeError, match="mail has no field 'whom'; it is mail"):
        queue.not_declared(Mail, whom="a")


# The default queue


def test_it_is_the_default_queue_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROKERJA_DB", ":memory:")
    before = default_queue()
    with testing.queue() as outer:
        with suppress(ZeroDivisionError), testing.queue() as inner:
            declare(Mail("inner"))
            thread = threading.Thread(target=lambda: prokerja.declare_many([Mail("thread")]))
            thread.start()
            thread.join()
            assert [job.payload["to"] for job in inner.find()] == ["thread", "inner"]
            raise ZeroDivisionError
        declare(Mail("outer"))
        outer.declared(Mail, 1, to="outer")
        with pytest.raises(BadOption, match="a test keeps the default queue in memory"):
            Queue()
    assert default_queue() is before
    assert os.environ["PROKERJA_DB"] == ":memory:"


def test_programs_in_an_event_loop_declare_in_it(queue: InProcessQueue) -> None:
    async def main() -> None:
        async with AsyncQueue(queue) as door:
            await door.declare_many([Mail("a"), Mail("b").options(priority=1)])

    asyncio.run(main())
    assert queue.drain().ids("completed") == [2, 1]


# A real worker


def test_a_real_worker_runs_what_is_declared_in_the_default_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PROKERJA_DB", raising=False)
    with testing.worker([Mail], realizers=2) as queue:
        path = Path(queue.path)
        assert os.environ["PROKERJA_DB"] == queue.path
        id = declare(Mail("you"))
        assert queue.result(id, timeout=PATIENCE) == "to you"
        queue.declared(Mail, to="you")
    assert not path.parent.exists()
    assert "PROKERJA_DB" not in os.environ


def test_an_error_shows_what_the_worker_has_done() -> None:
    with pytest.raises(JobFailed) as caught, testing.worker([Mail]) as queue:
        queue.result(queue.declare(Mail("you", error="no"), retries=0), timeout=PATIENCE)
    [note] = caught.value.__notes__
    assert "jobs: mail\n" in note
    assert "job 1 mail: attempt 1 failed, for good: ValueError: no\n" in note
    assert "    raise ValueError(self.error)" in note


def test_jobs_that_cannot_be_loaded_are_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no jobs directory"):
        testing.worker(tmp_path / "nowhere").__enter__()
    (tmp_path / "exits.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(CatalogError, match="exit status 3"), testing.worker(tmp_path):
        pytest.fail("there is no worker")


# pytest

SUITE = """
import sys

LATE = [name for name in sys.modules if name.startswith("prokerja.")]

def test_nothing_is_imported_before_it_is_used():
    assert set(LATE) <= {"prokerja.testing", "prokerja.testing.plugin"}

def test_the_fixture_is_a_queue(prokerja_queue):
    from dataclasses import dataclass
    from prokerja import Job, declare

    @dataclass
    class Greet(Job):
        def handle(self):
            return "hello"

    declare(Greet())
    assert prokerja_queue.result(1, timeout=1) == "hello"
    prokerja_queue.not_declared(Greet)
"""


def test_pytest_has_a_fixture_and_pays_for_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "test_suite.py"
    file.write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:randomly", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "greet was declared:" in done.stdout
    assert "1 greet(), completed" in done.stdout
