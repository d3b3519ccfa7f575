"""The queue in an event loop: nothing blocks it, and who waits takes no thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
import sys
import textwrap
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from prokerja import AsyncQueue, Job, Queue, Status
from prokerja.errors import JobFailed, NotEnded, NotFound, RequestError, WaitedTooLong
from tests.harness.home import request
from tests.harness.waiting import PATIENCE, SOON, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.harness.home import Home

T = TypeVar("T")
FOR_COMMANDS = {
    "of", "repository", "known_job", "register", "detail", "newest", "failures", "running",
}  # fmt: skip
"""What a Queue has beside the verbs of programs."""


def asked(code: str) -> Any:
    return request("run", code=code)


def in_loop(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, PATIENCE))


def watches() -> int:
    """How many watches this process has open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return sum("inotify" in link for link in links)


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; whoever calls this limits the time."""
    while not condition():  # noqa: ASYNC110  what it is about happens elsewhere
        await asyncio.sleep(0.005)


def test_it_has_the_verbs_of_a_queue() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(AsyncQueue) == public(Queue) - FOR_COMMANDS
    for name in public(AsyncQueue):
        assert inspect.iscoroutinefunction(getattr(AsyncQueue, name)), name
        assert getattr(AsyncQueue, name).__doc__


def test_what_is_declared_runs_and_is_read_back(home: Home) -> None:
    home.worker().ready()

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            id = await queue.declare(asked("return {'n': 1}"), priority=3, label="l")
            bad, late = await queue.declare_many(
                [asked("1 / 0"), request("later")], queue="default"
            )
            assert await queue.wait([id, bad], timeout=SOON) == {id: "completed", bad: "failed"}
            assert await queue.wait(id) is Status.COMPLETED
            assert await queue.result(id) == {"n": 1}
            with pytest.raises(JobFailed, match="ZeroDivisionError"):
                await queue.result(bad, timeout=SOON)
            with pytest.raises(NotEnded):
                await queue.result(late)
            job = await queue.job(id)
            assert (job.priority, job.label, job.payload) == (3, "l", {"code": "return {'n': 1}"})
            assert await queue.cancel(late, why="no need") == 0
            assert [job.id for job in await queue.find(status="failed")] == [late, bad]
            await queue.retry(late)
            assert await queue.cancel_matching(job="later") == (1, 0)
            assert (await queue.summary()).total.failed == 2
            assert await queue.retry_failed(job="run") == 1
            assert await queue.wait(bad, SOON) is Status.FAILED
            assert await queue.purge(Status.FAILED, 1e12) == 2
            assert len((await queue.metrics()).durations) == 2

    in_loop(main())


def test_errors_are_those_of_a_queue(home: Home) -> None:
    no_id: Any = "1"

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            with pytest.raises(NotFound):
                await queue.job(1)
            with pytest.raises(NotFound):
                await queue.wait([1])
            with pytest.raises(RequestError, match="unknown option"):
                await queue.declare(asked("pass"), colour="red")  # type: ignore[call-arg]
            with pytest.raises(RequestError, match="is no id"):
                await queue.wait(no_id)
            id = await queue.declare(asked("pass"))
            with pytest.raises(WaitedTooLong, match=f"job {id} has not ended"):
                await queue.wait(id, timeout=0)
            with pytest.raises(WaitedTooLong):
                await queue.result(id, timeout=0.01)

    in_loop(main())


def test_a_batch_is_waited_for(home: Home) -> None:
    home.worker().ready()

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            jobs = [asked("wait_for('gate')"), asked("1 / 0")]
            ids = await queue.declare_many(jobs, batch="b")
            waiting = asyncio.create_task(queue.wait_for_batch("b"))
            with pytest.raises(WaitedTooLong):
                await queue.wait_for_batch("b", timeout=0.01)
            home.open("gate")
            assert await waiting == {"completed": 1, "failed": 1}
            assert await queue.wait_for_batch("b", timeout=0) == {"completed": 1, "failed": 1}
            assert [job.id for job in await queue.find(batch="b")] == [*ids][::-1]
            with pytest.raises(NotFound):
                await queue.wait_for_batch("c")

    in_loop(main())


def test_a_batch_that_goes_on_by_itself_is_waited_for_to_its_end(home: Home) -> None:
    code = """
        n = int(open(LEDGER).readlines()[-1])
        note(n - 1)
        if n > 1:
            self.declare(type(self)(self.code), batch="b")"""
    home.path.joinpath("ledger").write_text("200\n")
    home.run(textwrap.dedent(code).strip(), batch="b")
    home.worker().ready()

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            both = queue.wait_for_batch("b"), asyncio.to_thread(home.queue.wait_for_batch, "b")
            for counts in await asyncio.gather(*both):
                assert counts == {"completed": 200, "failed": 0}
            assert await queue.open_ids(batch="b") == []

    in_loop(main())


def test_a_member_of_a_batch_that_is_purged_meanwhile_is_not_waited_for(home: Home) -> None:
    ids = [home.run("pass", batch="b", queue=queue) for queue in ("default", "gone")]

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            asking = asyncio.create_task(queue.wait_for_batch("b"))
            other = asyncio.create_task(asyncio.to_thread(home.queue.wait_for_batch, "b"))
            await until(lambda: watches() == 2)
            assert await queue.open_ids(batch="b") == ids
            assert await queue.purge(Status.PENDING, 1e12, "gone") == 1
            home.worker()
            assert await asking == await other == {"completed": 1, "failed": 0}

    in_loop(main())


def test_what_is_held_is_released_and_changed(home: Home) -> None:
    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            id = await queue.declare(asked("pass"), hold=True)
            await queue.change(id, priority=7)
            await queue.release(id)
            await queue.hold(id)
            assert (await queue.job(id)).priority == 7
            assert not all(condition.holds for condition in await queue.why(id))

    in_loop(main())


@pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc lists")
def test_many_wait_with_one_thread_and_one_watch(home: Home) -> None:
    ids = home.run_each(["wait_for('gate')", *["pass"] * 200])
    threads, watched = threading.active_count(), watches()

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            waiting = [asyncio.create_task(queue.wait(id)) for id in ids]
            both = asyncio.create_task(queue.wait(ids, any=True))
            await until(lambda: watches() == watched + 1)
            assert threading.active_count() == threads + 1
            home.worker()
            home.open("gate")
            assert await asyncio.gather(*waiting) == ["completed"] * len(ids)
            assert set((await both).values()) == {"completed"}
            await until(lambda: watches() == watched)

    in_loop(main())
    wait_until(lambda: threading.active_count() == threads)


@pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc lists")
def test_who_is_cancelled_while_waiting_leaves_nothing_behind(home: Home) -> None:
    id = home.run("pass")
    watched = watches()

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            one = asyncio.create_task(queue.wait(id))
            two = asyncio.create_task(queue.result(id, timeout=PATIENCE))
            await until(lambda: watches() == watched + 1)
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            assert not two.done()
            two.cancel()
            await until(lambda: watches() == watched)
            assert (await queue.job(id)).status == "pending"

    in_loop(main())


def test_a_loop_that_ends_amid_a_wait_ends(home: Home) -> None:
    program = f"""
        import asyncio
        from prokerja import AsyncQueue

        async def main():
            queue = AsyncQueue({str(home.db)!r})
            task = asyncio.create_task(queue.wait({home.run("pass")}))
            await asyncio.sleep(0.05)
            print("left", flush=True)

        asyncio.run(main())
        """
    process = home.python(program)
    assert process.communicate(timeout=PATIENCE)[0] == "left\n"
    assert process.returncode == 0


def test_who_waits_when_it_is_closed_is_told(home: Home) -> None:
    id = home.run("pass")

    async def main() -> None:
        queue = AsyncQueue(home.db)
        waiting = asyncio.create_task(queue.wait(id))
        with pytest.raises(WaitedTooLong):
            await queue.wait(id, timeout=0.01)
        await queue.close()
        await queue.close()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await queue.job(id)

    in_loop(main())


def test_the_loop_goes_on_while_the_file_is_locked(home: Home) -> None:
    home.run("pass")

    async def main() -> None:
        async with AsyncQueue(home.db) as queue:
            with closing(sqlite3.connect(home.db, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                declaring = asyncio.create_task(queue.declare(asked("pass")))
                for _ in range(20):
                    await asyncio.sleep(0.005)
                assert not declaring.done()
                other.execute("COMMIT")
            assert await declaring == 2

    in_loop(main())


def test_verbs_are_done_in_the_order_in_which_they_are_called(home: Home) -> None:
    async def main() -> list[int]:
        async with AsyncQueue(home.db) as queue:
            return await asyncio.gather(*[queue.declare(asked(f"note({n})")) for n in range(50)])

    assert in_loop(main()) == list(range(1, 51))
    home.work()
    assert home.ledger() == [str(n) for n in range(50)]


class Greet(Job):
    def payload(self) -> dict[str, Any]:
        return {}

    def handle(self) -> str:
        return "hello"


def test_a_queue_that_is_there_already_may_be_given_and_stays_open(home: Home) -> None:
    from prokerja import Worker

    with Queue(":memory:") as inner:
        worker = Worker(inner, jobs=[Greet])
        thread = threading.Thread(target=worker.run)
        thread.start()

        async def main() -> None:
            async with AsyncQueue(inner) as queue:
                assert await queue.result(await queue.declare(Greet()), timeout=SOON) == "hello"

        in_loop(main())
        worker.stop()
        thread.join()
        assert inner.result(1) == "hello"
