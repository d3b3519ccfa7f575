"""The door in for programs that run in an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, overload

from prokerja.async_waiting import Waiters
from prokerja.errors import NotFound
from prokerja.queue import Queue
from prokerja.waiting import counts_of_batch, ids_of, seconds_left

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType
    from typing import Any, Unpack

    from prokerja.model.declaration import Status
    from prokerja.types import Declarable, Terms

P = ParamSpec("P")
T = TypeVar("T")


def _awaitable(
    verb: Callable[Concatenate[Queue, P], T],
) -> Callable[Concatenate[AsyncQueue, P], Coroutine[Any, Any, T]]:
    """The same verb, done by the thread of the AsyncQueue and awaited."""

    @wraps(verb)
    async def run(self: AsyncQueue, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._run(lambda queue: verb(queue, *args, **options))

    return run


class AsyncQueue:
    """A `Queue` for asyncio: the verbs are the same, and are awaited.

    `path` is as for a Queue, or a Queue, which is then not closed here. One thread does what the
    verbs ask for, in the order in which they are called, so none of them blocks the event loop,
    and what `declare_many` iterates over is iterated there. A task that is cancelled meanwhile
    may have declared all the same. Waiting for jobs takes no thread, however many wait.
    `async with AsyncQueue(...) as queue` opens it, and closes it at the end.
    """

    def __init__(self, path: str | os.PathLike[str] | Queue | None = None) -> None:
        self._path = path
        self._queue: Queue | None = None
        """Opened, and from then on used, by the thread."""
        self._thread = ThreadPoolExecutor(1, "prokerja")
        self._waiters = Waiters(self._run)
        self._closed = False

    async def __aenter__(self) -> AsyncQueue:
        await self._run(lambda _: None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def declare(self, job: Declarable, **options: Unpack[Terms]) -> int:
        """Register a request to run `job`; returns its id, once it is on the disk.

        Takes the options of `Queue.declare`, but for a connection, which belongs to its thread.
        """
        return await self._run(lambda queue: queue.declare(job, **options))

    declare_many = _awaitable(Queue.declare_many)
    retry = _awaitable(Queue.retry)
    retry_failed = _awaitable(Queue.retry_failed)
    resolve = _awaitable(Queue.resolve)
    cancel = _awaitable(Queue.cancel)
    cancel_matching = _awaitable(Queue.cancel_matching)
    hold = _awaitable(Queue.hold)
    release = _awaitable(Queue.release)
    change = _awaitable(Queue.change)
    suspend = _awaitable(Queue.suspend)
    resume = _awaitable(Queue.resume)
    pause_queue = _awaitable(Queue.pause_queue)
    resume_queue = _awaitable(Queue.resume_queue)
    limit_queue = _awaitable(Queue.limit_queue)
    rate_queue = _awaitable(Queue.rate_queue)
    queue_rules = _awaitable(Queue.queue_rules)
    purge = _awaitable(Queue.purge)
    job = _awaitable(Queue.job)
    find = _awaitable(Queue.find)
    why = _awaitable(Queue.why)
    summary = _awaitable(Queue.summary)
    metrics = _awaitable(Queue.metrics)
    open_ids = _awaitable(Queue.open_ids)

    @overload
    async def wait(self, ids: int, timeout: float | None = None) -> Status: ...

    @overload
    async def wait(
        self, ids: Iterable[int], timeout: float | None = None, *, any: bool = False
    ) -> dict[int, Status]: ...

    async def wait(
        self,
        ids: int | Iterable[int],
        timeout: float | None = None,
        *,
        any: bool = False,
    ) -> Status | dict[int, Status]:
        """See `Queue.wait`."""
        if hasattr(ids, "__iter__"):
            return await self._waiters.wait(ids_of(ids), timeout, any=any)
        [id] = ids_of((ids,))
        return (await self._waiters.wait((id,), timeout, any=False))[id]

    async def wait_for_batch(self, batch: str, timeout: float | None = None) -> dict[str, int]:
        """See `Queue.wait_for_batch`."""
        left = seconds_left(timeout)
        while (counts := await self._run(lambda it: counts_of_batch(it.repository, batch))) is None:
            with suppress(NotFound):  # one of them was purged meanwhile
                await self.wait(await self.open_ids(batch=batch), left())
        return counts

    async def result(
        self,
        id: int,
        timeout: float | None = None,
    ) -> Any:
        """See `Queue.result`."""
        if timeout is not None:
            await self.wait(id, timeout)
        return await self._run(lambda queue: queue.result(id))

    async def close(self) -> None:
        """Close the file; who waits for jobs gets a RuntimeError."""
        if not self._closed:
            await self._waiters.close()
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._queue is not None and self._queue is not self._path:
            self._queue.close()

    async def _run(self, action: Callable[[Queue], T]) -> T:
        """What an action on the queue returns, which the thread does."""
        if self._closed:
            raise RuntimeError("this AsyncQueue is closed")
        do = copy_context().run  # the task's trace is the declaration's
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, self._do, action)

    def _do(self, action: Callable[[Queue], T]) -> T:
        if self._queue is None:
            self._queue = self._path if isinstance(self._path, Queue) else Queue(self._path)
        return action(self._queue)
