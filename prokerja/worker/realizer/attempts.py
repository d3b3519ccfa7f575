"""Async jobs that run beside each other, and what they ask of their realizer."""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from prokerja.running import Running
from prokerja.worker.output.announcements import NOBODY
from prokerja.worker.output.voices import VOICE, Voice
from prokerja.worker.realizer.interruption import Interrupted
from prokerja.worker.realizer.performing import Performer
from prokerja.worker.realizer.running_job import RunningJob
from prokerja.worker.realizer.steps import Book, Steps
from prokerja.worker.wire.shared_page import IDLE, RUNNING, SINCE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Protocol

    from prokerja.model.claim import Extra
    from prokerja.worker.wire.journal import Claim

    Given = tuple[int, Claim, int, str, str]

    class Runner(Protocol):
        """Takes in what becomes of an attempt."""

        cells: memoryview[int]

        def begin(self, attempt: Attempt) -> Any:
            """Make its job, and call it; returns what `handle()` returned."""

        def before_step(self, attempt: Attempt) -> None:
            """It is given the interpreter."""

        def complete(self, attempt: Attempt, value: Any) -> None:
            """`handle()` has returned, or its coroutine has."""

        def fail(self, attempt: Attempt, error: BaseException) -> None:
            """It has raised an exception."""

        def forsake(self, attempt: Attempt) -> None:
            """It was interrupted: nothing came of it."""


identity = object.__hash__
"""Tells living objects apart, as `id` does, whose every call is an audit event."""


class Part(Coroutine[Any, Any, Any]):
    """A coroutine of an attempt, which is announced each time it is given the interpreter."""

    def __init__(self, attempt: Attempt, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._attempt = attempt
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        return self._attempt.step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        return self._attempt.step(self._coroutine.throw, *error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)


class Attempt(Running, Voice, Coroutine[Any, Any, None]):
    """One of them; also the coroutine that its task steps through, to the end of its hooks."""

    performer: Performer | None = None
    """If it is given more than its payload."""
    is_cut = False
    """Whether the supervisor has ended it, and knows what it fails of."""
    task: asyncio.Task[None] | None = None
    """While it is in flight."""
    began = 0
    """In monotonic ns."""

    def __init__(self, runner: Runner, given: Given, extra: Extra | None, slot: int) -> None:
        """`given` are the sequence number, the claim, the attempt, the job's name, its payload."""
        self.sequence, self.claim, self.number, self.name, self.payload = given
        self.id = self.claim[1]
        self.speaker = self.id, self.number
        self.extra = extra
        self.slot = slot
        self.parts: set[asyncio.Task[Any]] = set()
        """Tasks that it has made, and that have not ended."""
        self._runner = runner
        self._coroutine: Coroutine[Any, Any, Any] | None = None

    def cancel(self) -> None:
        """Have what it waits for raise CancelledError."""
        if self.task is not None:
            self.task.cancel()

    def step(self, go: Callable[..., Any], *given: Any) -> Any:
        """Give the interpreter to a coroutine of it, until that waits for something."""
        cells = self._runner.cells
        self._runner.before_step(self)
        cells[SINCE] = now = time.monotonic_ns()
        cells[RUNNING] = self.sequence
        if not self.began:
            self.began = now
        try:
            return go(*given)
        finally:
            cells[RUNNING] = IDLE

    def send(self, value: Any) -> Any:
        return self.step(self._go, value)

    def throw(self, *error: Any) -> Any:
        return self.step(self._throw, *error)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Any:
        return self

    def _go(self, value: Any) -> Any:
        runner = self._runner
        if self._coroutine is None:
            try:
                value = runner.begin(self)
            except Interrupted:
                runner.forsake(self)
                raise
            except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
                runner.fail(self, error)
                raise StopIteration from None
            if not iscoroutine(value):
                runner.complete(self, value)
                raise StopIteration
            self._coroutine, value = value, None
        return self._guard(self._coroutine.send, value)

    def _throw(self, *error: Any) -> Any:
        if self._coroutine is None:
            self._runner.fail(self, error[0])
            raise StopIteration
        return self._guard(self._coroutine.throw, *error)

    def _guard(self, go: Callable[..., Any], *given: Any) -> Any:
        try:
            return go(*given)
        except StopIteration as end:
            self._runner.complete(self, end.value)
        except Interrupted:
            self._runner.forsake(self)
            raise
        except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
            self._runner.fail(self, error)
        raise StopIteration


class RunningBeside(Running):
    """The plain job that runs, which has its realizer to itself, and the async ones beside it."""

    def __init__(self) -> None:
        self.by_job: dict[int, Attempt] = {}
        """By the identity of the job."""

    def of(self, job: object) -> Running:
        """The attempt that this job, or whatever was called just now, is a part of."""
        voice = VOICE.get()
        if job is None and isinstance(voice, Attempt) and voice.speaker != NOBODY:
            return voice
        return self.by_job.get(identity(job), self)


class JobsBeside(RunningJob):
    """Tells them apart by the jobs themselves, from whatever thread they ask."""

    attempt: RunningBeside

    def sequence(self, job: object, what: str) -> int:
        """The sequence number of the job that asks for `what`, or a thread of it.

        Raises RuntimeError for a job that has ended, and in a forked process.
        """
        attempt = self.attempt.by_job.get(identity(job))
        if attempt is not None and os.getpid() == self._process:
            return attempt.sequence
        if attempt is None and self.attempt.job is not job:
            raise RuntimeError(f"{what} is for a job that is running, and this one is not")
        return super().sequence(job, what)


class StepsBeside(Steps):
    """Those of several jobs at once."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._books: dict[int, Book] = {}

    def forget(self, sequence: int) -> None:
        """That job has ended."""
        self._books.pop(sequence, None)

    def _open(self, sequence: int, job: object) -> Book:
        with self._opening:
            if sequence not in self._books:
                self._books[sequence] = self._new_book(sequence, job)
            return self._books[sequence]


class PerformerBeside(Performer):
    """Runs one attempt of a job that is given more than its payload."""

    slot = 0

    def _restart_clock(self) -> None:
        self._page.restart(self.slot, time.monotonic_ns())
