"""Signals that ask a worker to stop; heard from before the first claim to after the last settle."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequests:
    """Remembers requests to stop; `fileno()` becomes readable with each.

    Signal handlers can be set in the main thread only; elsewhere just `request` is heard. What
    is ignored at the start stays ignored: that is how `nohup` and shells protect a job.
    """

    def __init__(self) -> None:
        self.reason = ""
        """Why to stop, empty until somebody asks."""
        self.exit_code = 0
        """With which the worker is to leave then; see `exit_codes.WORKER_CODES`."""
        self.forced = False
        """Whether to wait for nothing: a second interrupt."""
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)
        self._woken_before: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def fileno(self) -> int:
        return self._readable

    def request(self, reason: str, exit_code: int = 0) -> None:
        """Ask the worker to stop in good order; from any thread or signal handler."""
        if not self.reason:
            self.reason, self.exit_code = reason, exit_code
        self.wake()

    def wake(self) -> None:
        """Make the worker look."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writable, b".")

    def drain(self) -> None:
        """Take note that the worker looks."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._readable, 4096)

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
            # The kernel's call itself wakes us, even just before we go to sleep.
            self._woken_before = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._woken_before is not None:
            signal.set_wakeup_fd(self._woken_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._readable)
        os.close(self._writable)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.reason and number == signal.SIGINT:
            self.forced = True
        self.request(f"heard {signal.Signals(number).name}")
        self.wake()
