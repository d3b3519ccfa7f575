"""The descriptors between a supervisor and one realizer, at both ends."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from prokerja.worker.wire.shared_page import SharedPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.output.tap import Tap


class Descriptors:
    """All of them, or none and an OSError.

    `watch` takes over the pipes in which the realizer prints; `slots` are those of its page.
    """

    def __init__(self, watch: Callable[[int, int], Tap], slots: int = 0) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            self.line, line = socket.socketpair()
            ours.callback(self.line.close)
            theirs.callback(line.close)
            self.channel = line.fileno()
            self.alive, _ = _pipe(theirs, ours)
            self.requests, self.request = _pipe(theirs, ours)
            self.page = SharedPage.new(slots)
            ours.callback(self.page.close)
            with ExitStack() as unwatched:
                out, self.out = _pipe(unwatched, theirs)
                err, self.err = _pipe(unwatched, theirs)
                self.tap = watch(out, err)
                unwatched.pop_all()
            self._ours, self._theirs = ours.pop_all(), theirs.pop_all()
        # A supervisor waits for no realizer.
        self.line.setblocking(False)
        os.set_blocking(self.request, False)

    def close_theirs(self) -> None:
        """Leave the realizer's ends to the realizer."""
        self._theirs.close()

    def close(self) -> None:
        """Let all go."""
        self._theirs.close()
        self._ours.close()


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A new pipe, whose ends are closed with these two."""
    ends = os.pipe()
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends
