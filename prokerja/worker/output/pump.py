"""Takes in what realizers print, in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

from prokerja import signal_masks
from prokerja.worker.output.tap import READ_BYTES, Stream, Tap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.output.folder import OutputFolder
    from prokerja.worker.output.announcements import Speaker

GATHER_SECONDS, FEW_BYTES = 0.02, 2**12
"""How long to wait for more after reading fewer bytes than this."""
PROMPT_LOOKS, REST_SECONDS = 50, 0.25
"""How often in such a time no wait is made: what comes little by little stays in its order."""
MAX_BACKLOG_BYTES = 2**20
"""Of what is to be shown, while the reader of the worker's stderr is slow."""


class Pump:
    """Takes in what realizers print, and shows it on `target` as far as it is to be.

    A reader of `target` that is slow, or has stopped, holds up this thread and the jobs that
    print, never the supervisor.
    """

    def __init__(
        self, target: BinaryIO, folder: OutputFolder | None, limit: int, *, verbose: bool
    ) -> None:
        self._target = target
        self._folder = folder
        self._limit = limit
        self._verbose = verbose
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        """Held by whoever takes something in."""
        self._backlog = bytearray()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prokerja-output", daemon=True)
        with signal_masks.blocked():
            self._thread.start()

    def add(self, out: int, err: int) -> Tap:
        """Take in what comes out of these pipes from now on, until their end."""
        for descriptor in (out, err):
            os.set_blocking(descriptor, False)
        tap = Tap(out, err, self._folder, self._limit, verbose=self._verbose)
        with self._lock:
            for stream in tap.streams:
                self._selector.register(stream.descriptor, selectors.EVENT_READ, (tap, stream))
        self._stir()
        return tap

    def drain(self, tap: Tap) -> None:
        """Take in what a realizer has printed so far, unless its reader is too slow for that."""
        for stream in tap.streams:
            left = MAX_BACKLOG_BYTES
            while left > 0 and len(self._backlog) < MAX_BACKLOG_BYTES:
                count = self._take_in(tap, stream)
                if not count:
                    break
                left -= count
        if self._backlog:
            self._stir()

    def end(self, tap: Tap, speakers: Iterable[Speaker]) -> None:
        """These attempts have ended, and `drain` was called since."""
        with self._lock:
            tap.end(speakers)

    def end_all(self, tap: Tap) -> None:
        """The realizer is dead, and `drain` was called since."""
        with self._lock:
            tap.end_all()

    def stop(self, patience: float) -> None:
        """Take in what is already in the pipes, for `patience` seconds at most, and end."""
        self._stopping.set()
        self._stir()
        self._thread.join(patience)

    def _stir(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been stirred, and is held up
            os.write(self._waker, b".")

    def _run(self) -> None:
        looks, rested_at = 0, time.monotonic()
        while True:
            events = self._selector.select(0 if self._stopping.is_set() else None)
            now = time.monotonic()
            if now - rested_at > REST_SECONDS:
                looks, rested_at = 0, now
            pipes = [key.data for key, _ in events if key.data is not None]
            if not pipes and self._stopping.is_set():
                self._show()
                return
            if len(pipes) < len(events):
                os.read(self._wake, READ_BYTES)
            taken = sum(self._take_in(tap, stream) for tap, stream in pipes)
            self._show()
            if taken < FEW_BYTES:
                looks += 1
                if looks > PROMPT_LOOKS:
                    self._stopping.wait(GATHER_SECONDS)

    def _take_in(self, tap: Tap, stream: Stream) -> int:
        """Take in what there is in one pipe; returns how many bytes that were."""
        with self._lock:
            if not stream.is_open:
                return 0
            try:
                count, shown = tap.read(stream, time.time())
            except BlockingIOError:
                return 0
            if not stream.is_open:
                self._selector.unregister(stream.descriptor)
                os.close(stream.descriptor)
            self._backlog += shown
            return count

    def _show(self) -> None:
        with self._lock:
            shown, self._backlog = self._backlog, bytearray()
        if shown:
            with contextlib.suppress(OSError, ValueError):  # its reader is gone
                self._target.write(shown)
                self._target.flush()
