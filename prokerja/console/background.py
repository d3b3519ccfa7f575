"""Writing in the background, so that the work waits for no reader, however slow."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from prokerja import signal_masks
from prokerja.worker_events import JobsSettled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from prokerja.console.worker_log import WorkerLog

MAX_WAITING_BYTES = 2**22
"""Lines kept for a slow reader; further ones are dropped, and counted."""
LINE_BYTES = 200
"""What a line takes, its error apart."""
SETTLED_SECONDS = 0.1
"""Between two events that count settled jobs, of which there may be hundreds a second."""
LAST_LINES_SECONDS = 2.0
"""How long the last lines may take to be written."""


class BackgroundLog:
    """Hands events to a worker log, in a thread of its own."""

    def __init__(self, log: WorkerLog) -> None:
        self._log = log
        self._acts: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._put_bytes = 0
        """Of all lines so far; changed by the thread that tells, and no other."""
        self._said_bytes = 0
        """Likewise, changed by the thread that says them."""
        self._lost = 0
        self._settled = JobsSettled(0, 0)
        self._settled_at = 0.0
        self._thread = threading.Thread(target=self._run, name="prokerja-log", daemon=True)

    def __enter__(self) -> BackgroundLog:
        with signal_masks.blocked():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._put_settled()
        self._acts.put(None)
        self._thread.join(LAST_LINES_SECONDS)

    def tell(self, event: Any) -> None:
        """Take note of an event, and return at once."""
        if isinstance(event, JobsSettled):
            so_far = self._settled
            self._settled = JobsSettled(
                so_far.completed + event.completed, so_far.failed + event.failed
            )
            if time.monotonic() - self._settled_at < SETTLED_SECONDS:
                return
            self._put_settled()
        else:
            self._put_settled()
            self._put(event)

    def _put_settled(self) -> None:
        settled, self._settled = self._settled, JobsSettled(0, 0)
        if settled.completed or settled.failed:
            self._settled_at = time.monotonic()
            self._put(settled)

    def _put(self, event: Any) -> None:
        if self._put_bytes - self._said_bytes > MAX_WAITING_BYTES:
            self._lost += 1
            return
        if self._lost:
            self._acts.put(partial(self._log.say_lost, self._lost))
            self._lost = 0
        size = LINE_BYTES + len(getattr(event, "error", None) or "")
        self._put_bytes += size
        self._acts.put(partial(self._say, event, time.time(), size))

    def _say(self, event: Any, at: float, size: int) -> None:
        try:
            self._log.tell(event, at)
        finally:
            self._said_bytes += size

    def _run(self) -> None:
        with suppress(OSError), self._log:
            for act in iter(self._next, None):
                with suppress(OSError, ValueError):  # the reader is gone
                    act()

    def _next(self) -> Callable[[], object] | None:
        """What to do next, once there is something."""
        due = self._log.due
        try:
            return self._acts.get(timeout=None if due is None else max(due - time.monotonic(), 0.0))
        except Empty:
            return self._log.catch_up
