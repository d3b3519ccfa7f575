"""Steps of the running job: each is done once, and counts as done when that is on the disk."""

from __future__ import annotations

import json
from contextlib import suppress
from inspect import iscoroutinefunction
from threading import Condition, Lock, RLock
from typing import TYPE_CHECKING, Any

from prokerja.model.step import MAX_STEP_BYTES, MAX_STEPS_BYTES
from prokerja.terms import NAME
from prokerja.text import quoted
from prokerja.worker.wire.shared_page import KEPT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from prokerja.worker.realizer.running_job import RunningJob
    from prokerja.worker.wire.shared_page import SharedPage


class Book:
    """The steps of one attempt."""

    def __init__(self, sequence: int, results: dict[str, str]) -> None:
        self.sequence = sequence
        self.results = results
        """Of what is done, as JSON, by name."""
        self.doing: set[str] = set()
        self._locks: dict[str, RLock] = {}

    def lock(self, name: str) -> Any:
        """Held by the one thread that does this step."""
        return self._locks.setdefault(name, RLock())

    def check_room(self, name: str, text: str) -> None:
        """Raise ValueError for a result that is too long, by itself or with all others."""
        if len(text) > MAX_STEP_BYTES:
            raise ValueError(
                f"step {name!r} returned more than 64 KiB; write it to a file, return the path"
            )
        sizes = (len(key) + len(value) for key, value in self.results.items())
        if sum(sizes) + len(name) + len(text) > MAX_STEPS_BYTES:
            raise ValueError(
                f"with step {name!r} the job's steps have more than 1 MiB; write what they return"
                " to files, return the paths"
            )


class Steps:
    """`post` sends a step to the supervisor, and returns how many it has sent by then."""

    def __init__(
        self, running: RunningJob, page: SharedPage, post: Callable[[int, str, str], int]
    ) -> None:
        self._running = running
        self._page = page
        self._post = post
        self._book = Book(0, {})
        self._opening = Lock()
        self._kept = Condition()
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        """What is to be resolved when so many steps are on the disk."""

    def step(
        self, job: object, name: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """What the function returned when the step was done, which it is now.

        Of an async function, what is to be awaited for that.
        """
        if not NAME.fits(name):
            raise ValueError(f"step: {quoted(str(name))} does not fit; give {NAME.allowed}")
        book = self._open(self._running.sequence(job, f"step {name!r}"), job)
        if iscoroutinefunction(function):
            return self._do_later(job, book, name, function(*args, **kwargs))
        with book.lock(name):
            if name in book.doing:
                raise RuntimeError(f"step {name!r} is a part of itself; give one another name")
            if name not in book.results:
                book.doing.add(name)
                try:
                    self._do(job, book, name, lambda: function(*args, **kwargs))
                finally:
                    book.doing.discard(name)
        return json.loads(book.results[name])

    def wake(self) -> None:
        """The supervisor may have kept some."""
        with self._kept:
            self._kept.notify_all()
            kept, awaited = self._page.cells[KEPT], self._awaited
            self._awaited = [one for one in awaited if one[0] > kept]
        for number, future in awaited:
            if number <= kept:
                with suppress(RuntimeError):  # its loop is closed
                    future.get_loop().call_soon_threadsafe(_resolve, future)

    def _open(self, sequence: int, job: object) -> Book:
        with self._opening:
            if self._book.sequence != sequence:
                self._book = self._new_book(sequence, job)
            return self._book

    def _new_book(self, sequence: int, job: object) -> Book:
        extra = self._running.attempt.of(job).extra
        return Book(sequence, dict((extra and extra.steps) or {}))

    def _do(self, job: object, book: Book, name: str, function: Callable[[], Any]) -> None:
        text, number = self._send(job, book, name, function())
        with self._kept:
            self._kept.wait_for(lambda: self._page.cells[KEPT] >= number)
        self._check(job, book, name)
        book.results[name] = text

    async def _do_later(
        self, job: object, book: Book, name: str, coroutine: Coroutine[Any, Any, Any]
    ) -> Any:
        try:
            if name in book.doing:
                raise RuntimeError(f"step {name!r} is being done; give another one another name")
            if name not in book.results:
                book.doing.add(name)
                try:
                    text, number = self._send(job, book, name, await coroutine)
                    await self._keep(number)
                    self._check(job, book, name)
                    book.results[name] = text
                finally:
                    book.doing.discard(name)
        finally:
            coroutine.close()
        return json.loads(book.results[name])

    async def _keep(self, number: int) -> None:
        """Wait until so many steps are on the disk; the loop goes on meanwhile."""
        import asyncio

        future = asyncio.get_running_loop().create_future()
        with self._kept:
            if self._page.cells[KEPT] >= number:
                return
            self._awaited.append((number, future))
        await future

    def _send(self, job: object, book: Book, name: str, value: Any) -> tuple[str, int]:
        """The value as JSON, and how many steps have been sent with this one."""
        text = _encoded(value, name)
        book.check_room(name, text)
        self._check(job, book, name)
        return text, self._post(book.sequence, name, text)

    def _check(self, job: object, book: Book, name: str) -> None:
        """Raise RuntimeError if the job has ended meanwhile, of which this is a thread."""
        if self._running.sequence(job, f"step {name!r}") != book.sequence:
            raise RuntimeError(f"step {name!r} is of a job that has ended")


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _encoded(value: Any, name: str) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"step {name!r} returned what is not JSON: {error}") from None
