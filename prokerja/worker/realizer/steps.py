"""Steps of the running job: each is done once, and counts as done when that is on the disk."""

from __future__ import annotations

import json
from threading import Condition, Lock, RLock
from typing import TYPE_CHECKING, Any

from prokerja.model.step import MAX_STEP_BYTES, MAX_STEPS_BYTES
from prokerja.terms import NAME
from prokerja.text import quoted
from prokerja.worker.wire.shared_page import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def step(
        self, job: object, name: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """What the function returned when the step was done, which it is now."""
        if not NAME.fits(name):
            raise ValueError(f"step: {quoted(str(name))} does not fit; give {NAME.allowed}")
        book = self._open(self._running.sequence(job, f"step {name!r}"))
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

    def _open(self, sequence: int) -> Book:
        with self._opening:
            if self._book.sequence != sequence:
                extra = self._running.attempt.extra
                self._book = Book(sequence, dict((extra and extra.steps) or {}))
            return self._book

    def _do(self, job: object, book: Book, name: str, function: Callable[[], Any]) -> None:
        text = _encoded(function(), name)
        book.check_room(name, text)
        self._check(job, book, name)
        number = self._post(book.sequence, name, text)
        with self._kept:
            self._kept.wait_for(lambda: self._page.cells[KEPT] >= number)
        self._check(job, book, name)
        book.results[name] = text

    def _check(self, job: object, book: Book, name: str) -> None:
        """Raise RuntimeError if the job has ended meanwhile, of which this is a thread."""
        if self._running.sequence(job, f"step {name!r}") != book.sequence:
            raise RuntimeError(f"step {name!r} is of a job that has ended")


def _encoded(value: Any, name: str) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"step {name!r} returned what is not JSON: {error}") from None
