"""Runs what an `async def handle()` returns, for a realizer that runs one job at a time."""

from __future__ import annotations

import threading
from inspect import iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from prokerja.worker.realizer.outcome import encode_result

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine


def is_async(cls: object) -> bool:
    """Whether a class's `handle()` is to be awaited."""
    return iscoroutinefunction(getattr(cls, "handle", None))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes event loops: uvloop if that is installed."""
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio.new_event_loop
    return uvloop.new_event_loop


class Coroutines:
    """Keeps its event loop from one job to the next, as long as no job leaves anything in it.

    It is asyncio's own: uvloop takes longer to begin and to stop than a short job.
    """

    def __init__(self, tell_left: Callable[[list[str]], None]) -> None:
        """`tell_left` is called with the names of tasks that the running job has left."""
        import asyncio

        self._tell_left = tell_left

        self._asyncio = asyncio
        self._runner: asyncio.Runner | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        """Those that the running job has made: `asyncio.all_tasks` takes as long as a short job."""

    def encode(self, value: Any) -> str | None:
        """What `handle()` returned as JSON, awaited if it is to be; None for no result.

        Raises what the coroutine raises, and what `encode_result` does.
        """
        if iscoroutine(value):
            value = self._run(value)
        return None if value is None else encode_result(value)

    def close(self) -> None:
        """End what is left in the loop."""
        if self._runner is not None:
            self._runner.close()  # it cancels tasks and waits for them, and for its threads
            self._runner = None

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._runner is None:
            self._runner = self._asyncio.Runner(loop_factory=self._asyncio.new_event_loop)
            self._runner.get_loop().set_task_factory(self._make_task)
        loop, threads = self._runner.get_loop(), threading.active_count()
        try:
            return loop.run_until_complete(self._asyncio.Task(coroutine, loop=loop))
        finally:
            if self._tasks or threading.active_count() > threads:
                if left := [task.get_name() for task in self._tasks if not task.done()]:
                    self._tell_left(left)
                self.close()
                self._tasks.clear()

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        task = self._asyncio.Task(coroutine, loop=loop, **options)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)
        return task
