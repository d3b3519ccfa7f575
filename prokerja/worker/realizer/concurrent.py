"""Runs several async jobs at once, in one event loop, and plain ones between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from prokerja.worker.output.announcements import NOBODY
from prokerja.worker.output.voices import VOICE
from prokerja.worker.realizer.attempts import Attempt, Part
from prokerja.worker.realizer.coroutines import is_async
from prokerja.worker.realizer.interruption import Interrupted
from prokerja.worker.realizer.settling import SettlingRealizer
from prokerja.worker.realizer.winding_up import ContextExecutor
from prokerja.worker.wire.shared_page import REVOKED, revoked

if TYPE_CHECKING:
    from prokerja.worker.realizer.attempts import Given


class ConcurrentRealizer(SettlingRealizer):
    """Begins jobs in the order in which they come: up to `concurrency` async ones at once.

    A plain one runs when no async one has the interpreter, outside of the event loop, and holds
    them up.
    """

    def __init__(self, concurrency: int, *given: Any) -> None:
        """What else is given is what any realizer is."""
        super().__init__(*given)
        self._async = frozenset(name for name, cls in self._classes.items() if is_async(cls))
        self._free = [*reversed(range(concurrency))]
        self.loop.set_task_factory(self._make_task)
        self.loop.set_default_executor(ContextExecutor())
        self._interruption.realizer = self
        self._is_closed = False
        """Whether the supervisor has hung up."""
        self._is_to_start = False

    def run(self, requests: int) -> None:
        """Work until the supervisor hangs up; what comes in `requests` asks for a report."""
        self._prepare(requests)
        self.loop.add_reader(self._channel.socket, self._receive)
        while not self._is_closed:
            self._run_plain()
            self._start_soon()
            if self._jobs:
                self.loop.call_soon(self.loop.stop)
            self.run_loop()
            if self._interruption.is_ending:
                self._interruption.die()
        self._finish()

    def run_loop(self) -> None:
        """Let the async jobs go on until the loop is stopped, or one of them interrupted."""
        try:
            self.loop.run_forever()
        except Interrupted:
            self._interruption.is_ending = True

    def _receive(self) -> None:
        batches = self._channel.receive()
        if batches is None:
            self._is_closed = True
            self.loop.stop()
        self._epoch = time.time() - time.monotonic()
        for batch in batches or ():
            for sequence, (claim, attempt, lane, payload) in enumerate(batch.jobs, batch.first):
                self._waiting.append((sequence, claim, attempt, batch.names[lane], payload))
            self._extras.update(batch.given())
            for sequence in batch.cut:
                if (cut := self.in_flight.get(sequence)) is not None:
                    cut.is_cut = True
                    cut.cancel()
        if self._spoiled:
            self._drop_all()
            self._report_soon()
        self._start_soon()

    def _more(self) -> bool:
        """What comes in while plain jobs run waits for them."""
        return bool(self._jobs)

    def _drop_all(self) -> None:
        self._jobs.extend(self._waiting)
        self._waiting.clear()
        super()._drop_all()

    def _run_plain(self) -> None:
        """Run the plain jobs that are next, for a while."""
        while self._waiting and self._waiting[0][3] not in self._async:
            self._jobs.append(self._waiting.popleft())
        if self._jobs:
            self._run_jobs()
            self._running.id = 0
            self._output.speaker = NOBODY

    def _start_soon(self) -> None:
        if not self._is_to_start:
            self._is_to_start = True
            self.loop.call_soon(self._start, context=self._own_context)

    def _start(self) -> None:
        """Begin the async jobs that are next, as far as there are slots."""
        self._is_to_start = False
        self._journal.write()
        self._check_size()
        waiting, free = self._waiting, self._free
        now = time.monotonic_ns()
        while waiting and not self._interruption.is_ending:
            if self._jobs or waiting[0][3] not in self._async:
                self.loop.stop()
                return
            if not free:
                return
            given = waiting.popleft()
            self._begin(given, free.pop(), now)

    def _begin(self, given: Given, slot: int, now: int) -> None:
        sequence = given[0]
        extra = self._extras.pop(sequence, None) if self._extras else None
        self._page.enter(slot, sequence, now)
        if self.cells[REVOKED] and revoked(self.cells[REVOKED], sequence):
            self._outbox.report.dropped.append(sequence)
            self._page.leave(slot)
            self._free.append(slot)
            self._report_soon()
            return
        attempt = Attempt(self, given, extra, slot)
        self.in_flight[sequence] = attempt
        context = self._own_context.copy()
        context.run(VOICE.set, attempt)
        attempt.task = asyncio.Task(attempt, loop=self.loop, context=context)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """A task that a job makes is a part of it."""
        voice = VOICE.get()
        if not isinstance(voice, Attempt):
            return asyncio.Task(coroutine, loop=loop, **options)
        task = asyncio.Task(Part(voice, coroutine), loop=loop, **options)
        voice.parts.add(task)
        task.add_done_callback(voice.parts.discard)
        return task
