"""Waits in an event loop until jobs have ended: one watch serves all who wait, and no thread."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import ProkerjaError, WaitedTooLong
from prokerja.waiting import MAX_SLEEP_SECONDS, REST_FACTOR, are_enough, ended_of, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any, Protocol, TypeVar

    from prokerja.model.declaration import Status
    from prokerja.queue import Queue
    from prokerja.repository.verbs import Watch

    T = TypeVar("T")

    class Run(Protocol):
        """Has an action done where it may block."""

        def __call__(self, action: Callable[[Queue], T], /) -> Coroutine[Any, Any, T]: ...


class Waiter:
    """Somebody who waits for some jobs, or for one of them."""

    def __init__(self, states: dict[int, Status], *, any: bool) -> None:
        self.states = states
        self.any = any
        self.ended = asyncio.get_running_loop().create_future()

    def look(self, queue: Queue) -> ProkerjaError | None:
        """Take another look at those that have not ended; returns what is wrong with that."""
        late = self.states.keys() - ended_of(self.states).keys()
        try:
            self.states.update(queue.repository.statuses(sorted(late)))
        except ProkerjaError as error:
            return error
        return None

    def tell(self, error: BaseException | None) -> None:
        """End the wait if there is no more to wait for."""
        if self.ended.done():
            return
        if error is not None:
            self.ended.set_exception(error)
        elif are_enough(self.states, any=self.any):
            self.ended.set_result(None)


class Waiters:
    """All who wait for jobs of one queue, in one event loop."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiters: set[Waiter] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        """Looks for them, as long as there are any."""
        self._tasks: set[asyncio.Task[None]] = set()
        """The same, and those before it that are about to end."""

    async def wait(
        self, ids: Iterable[int], timeout: float | None, *, any: bool
    ) -> dict[int, Status]:
        """See `waiting.wait`."""
        ids = list(ids)
        states = await self._run(lambda queue: queue.repository.statuses(ids))
        if are_enough(states, any=any):
            return ended_of(states)
        waiter = Waiter(states, any=any)
        try:
            async with asyncio.timeout(timeout):
                self._add(waiter)
                await waiter.ended
        except TimeoutError:
            raise WaitedTooLong(too_long(waiter.states, timeout or 0.0)) from None
        finally:
            self._remove(waiter)
        return ended_of(waiter.states)

    async def close(self) -> None:
        """Let nobody wait any longer."""
        for waiter in self._waiters:
            waiter.tell(RuntimeError("the queue was closed"))
        self._stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add(self, waiter: Waiter) -> None:
        self._waiters.add(waiter)
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._changed = asyncio.Event()  # of this loop; another may have been used before
            self._task = asyncio.create_task(self._watch())
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)
        self._changed.set()

    def _remove(self, waiter: Waiter) -> None:
        self._waiters.discard(waiter)
        if not self._waiters:
            self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        opening = asyncio.ensure_future(self._run(lambda queue: queue.repository.watch()))
        try:
            try:
                await self._keep_looking(await asyncio.shield(opening))
            finally:
                await asyncio.shield(self._close(opening))
        except Exception as error:  # noqa: BLE001  it is theirs
            for waiter in self._waiters:
                waiter.tell(error)

    async def _keep_looking(self, watch: Watch) -> None:
        loop = asyncio.get_running_loop()
        if watch.fileno() >= 0:
            loop.add_reader(watch.fileno(), self._drain, watch)
        while True:
            self._changed.clear()
            await asyncio.sleep(await self._look() * REST_FACTOR)
            with suppress(TimeoutError):
                async with asyncio.timeout(watch.pace or MAX_SLEEP_SECONDS):
                    await self._changed.wait()

    def _drain(self, watch: Watch) -> None:
        watch.drain()
        self._changed.set()

    async def _look(self) -> float:
        """Look at all that is waited for; returns for how many seconds that took."""
        waiters = list(self._waiters)

        def look(queue: Queue) -> tuple[list[ProkerjaError | None], float]:
            began = time.monotonic()
            return [waiter.look(queue) for waiter in waiters], time.monotonic() - began

        errors, took = await self._run(look)
        for waiter, error in zip(waiters, errors, strict=True):
            waiter.tell(error)
        return took

    async def _close(self, opening: asyncio.Future[Watch]) -> None:
        watch = await opening
        if watch.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(watch.fileno())
        await self._run(lambda _: watch.close())
