"""Carries what realizers print to the worker's stderr, in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from typing import BinaryIO

from prokerja.worker.output.prefix import LinePrefixer

READ_BYTES = 2**16
GATHER_SECONDS, FEW_BYTES = 0.02, 2**12
"""How long to wait for more after reading fewer bytes than this."""


class Pump:
    """Carries what realizers print to `target`, each line with a label, in a thread of its own.

    A reader that is slow, or has stopped, holds up this thread and the jobs that print, never the
    supervisor.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prokerja-output", daemon=True)
        self._thread.start()

    def add(self, descriptor: int) -> None:
        """Carry what comes out of this pipe from now on, until its end."""
        with self._lock:
            self._selector.register(descriptor, selectors.EVENT_READ, LinePrefixer())
        self._stir()

    def stop(self, patience: float) -> None:
        """Carry what is already in the pipes, for `patience` seconds at most, and end."""
        self._stopping.set()
        self._stir()
        self._thread.join(patience)

    def _stir(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been stirred, and is held up
            os.write(self._waker, b".")

    def _run(self) -> None:
        while True:
            events = self._selector.select(0 if self._stopping.is_set() else None)
            pipes = [key for key, _ in events if key.data is not None]
            if not pipes and self._stopping.is_set():
                return
            if len(pipes) < len(events):
                os.read(self._wake, READ_BYTES)
            if sum(map(self._carry, pipes)) < FEW_BYTES:
                self._stopping.wait(GATHER_SECONDS)

    def _carry(self, key: selectors.SelectorKey) -> int:
        """Carry what there is in one pipe; returns how many bytes that were."""
        piece = os.read(key.fd, READ_BYTES)
        try:
            self._target.write(key.data.feed(piece))
            self._target.flush()
        except (OSError, ValueError):
            pass  # the reader of the worker's stderr is gone
        if not piece:
            with self._lock:
                self._selector.unregister(key.fd)
            os.close(key.fd)
        return len(piece)
