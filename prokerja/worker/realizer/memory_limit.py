"""A realizer that looks at how large it is before each job, and makes room for another."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from prokerja.worker import memory
from prokerja.worker.wire.high_descriptors import duplicate_high

if TYPE_CHECKING:
    from typing import Any

    from prokerja.worker.realizer.run import Realizer

STATM = "/proc/self/statm"


class Size:
    """That of this process in bytes, read from a file that is kept open where there is one."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._pid = os.getpid()

    def __call__(self) -> int:
        if sys.platform == "linux":
            try:
                return int(os.pread(self._descriptor, 64, 0).split()[1]) * memory.PAGE_BYTES
            except (OSError, ValueError, IndexError):  # a job has closed it, or it is the first
                self._open()
        return memory.held(self._pid)

    def _open(self) -> None:
        low = os.open(STATM, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptor = duplicate_high(low)
        os.close(low)


def limited(kind: type[Realizer], limit: int) -> type[Realizer]:
    """The same kind of realizer, which runs no second job while it is larger than `limit`."""

    class LimitedRealizer(kind):  # type: ignore[misc, valid-type]
        """Has to be replaced once it is too large; what it was sent goes back."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._size = Size()
            self._last = ""
            """The job that ran last; the first runs in any case, or none ever would."""

        def _realize(
            self, sequence: int, claim: tuple[int, int], name: str, payload: str, began: int
        ) -> int:
            if self._is_outgrown():
                self._outbox.report.dropped.append(sequence)
                return began
            self._last = name
            return int(super()._realize(sequence, claim, name, payload, began))

        def _restore(self, name: str) -> None:
            super()._restore(name)
            self._is_outgrown()

        _spoiled: bool

        def _is_outgrown(self) -> bool:
            """Whether no job may run here any more; if that is new, it is told."""
            if self._last and not self._spoiled and (size := self._size()) > limit:
                self._spoiled = True
                self._outbox.report.outgrown = self._last, size
                self._drop_all()
            return self._spoiled

    return LimitedRealizer
