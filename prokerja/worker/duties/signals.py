"""Signals that a worker obeys; heard from before the first claim to after the last settle."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import threading
import time
from enum import IntEnum
from typing import TYPE_CHECKING

from prokerja import signal_masks
from prokerja.exit_codes import WATCHDOG

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import FrameType, TracebackType

STOPPING = {signal.SIGTERM: 0, signal.SIGQUIT: 0, signal.SIGABRT: WATCHDOG}
"""What has a worker stop within its grace time, and the exit code then."""
HANDLED = (*STOPPING, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

FOR_OTHERS = (signal.SIGHUP, signal.SIGUSR1)
"""What a worker that takes jobs in another one's place hears from that one alone."""


class Urgency(IntEnum):
    """Of a request to stop; a more urgent one takes the place of another."""

    NONE = 0
    AFRESH = 1
    """Finish what runs, and start another worker in this one's place."""
    FINISH = 2
    """Finish what runs, however long that takes."""
    GRACE = 3
    """What runs has the grace time to end."""
    NOW = 4
    """Wait for nothing."""


class StopRequests:
    """Remembers requests to stop, and others; `fileno()` becomes readable with each.

    Signal handlers can be set in the main thread only; elsewhere just `request` is heard. What
    is ignored at the start stays ignored: that is how `nohup` and shells protect a job.
    """

    def __init__(self, unheard: Collection[signal.Signals] = ()) -> None:
        """Nothing comes of those that are `unheard`."""
        self._unheard = unheard
        self.urgency = Urgency.NONE
        self.reason = ""
        """Why to stop, empty until somebody asks."""
        self.exit_code = 0
        """With which the worker is to leave then; see `exit_codes.WORKER_CODES`."""
        self.is_paused = False
        """Whether no jobs are to be taken."""
        self.state_wanted = False
        """Whether somebody wants to know what the worker is at."""
        self._interrupted = False
        self._has_terminal = terminal_is_there()
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)
        self._woken_before: int | None = None
        self._before: dict[signal.Signals, object] = {}

    @property
    def patient(self) -> bool:
        """Whether what runs may finish, however long that takes."""
        return self.urgency in (Urgency.AFRESH, Urgency.FINISH)

    @property
    def restart(self) -> bool:
        """Whether another worker is to start in its place."""
        return self.urgency is Urgency.AFRESH

    @property
    def forced(self) -> bool:
        """Whether to wait for nothing: a second interrupt."""
        return self.urgency is Urgency.NOW

    def fileno(self) -> int:
        return self._readable

    def request(self, reason: str, exit_code: int = 0, *, patient: bool = False) -> None:
        """Ask the worker to stop in good order; from any thread or signal handler.

        A `patient` request lets what runs finish without a limit, until one comes that does not.
        """
        self.ask(Urgency.FINISH if patient else Urgency.GRACE, reason, exit_code)

    def ask(self, urgency: Urgency, reason: str, exit_code: int = 0) -> None:
        """Ask the worker to stop; the first of the most urgent requests stands."""
        if urgency > self.urgency:
            self.urgency, self.reason, self.exit_code = urgency, reason, exit_code
        self.wake()

    def interrupt(self, reason: str) -> None:
        """Ask it to finish; or, if it is stopping as it was asked to, to wait for nothing."""
        again = self._interrupted or self.urgency >= Urgency.GRACE
        self._interrupted = True
        self.ask(Urgency.NOW if again else Urgency.FINISH, reason)

    def wake(self) -> None:
        """Make the worker look."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writable, b".")

    def sleep(self, most: float) -> None:
        """Sleep for a random part of so many seconds, or until it is asked to stop."""
        if most > 0:
            ends_at = time.monotonic() + random.random() * most
            while not self.reason and (left := ends_at - time.monotonic()) > 0:
                select.select([self], [], [], left)
                self.drain()

    def drain(self) -> None:
        """Take note that the worker looks."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._readable, 4096)

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
            # The kernel's call itself wakes us, even just before we go to sleep.
            self._woken_before = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
            signal_masks.release()
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
        heard = signal.Signals(number)
        reason = f"heard {heard.name}"
        if heard in self._unheard:
            return
        if heard in STOPPING:
            self.request(reason, STOPPING[heard])
        elif heard is signal.SIGINT:
            self.interrupt(reason)
        elif heard is signal.SIGHUP and self._has_terminal and not terminal_is_there():
            self.request("its terminal is gone")
        elif heard is signal.SIGHUP:
            self.ask(Urgency.AFRESH, reason)
        elif heard is signal.SIGUSR1:
            self.is_paused = not self.is_paused
        else:
            self.state_wanted = True
        self.wake()


def terminal_is_there() -> bool:
    """Whether this process has a controlling terminal; one that was closed is none any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
