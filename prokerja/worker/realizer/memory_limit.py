"""A realizer that looks at how large it is before each job, and makes room for another."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from prokerja.worker import memory
from prokerja.worker.kernel_file import KernelFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from prokerja.worker.realizer.run import Realizer


def _pages(text: bytes) -> int:
    return int(text.split()[1]) * memory.PAGE_BYTES


def _size_of_this() -> Callable[[], int]:
    """What tells how many bytes this process holds."""
    if sys.platform == "linux":
        return KernelFile("/proc/self/statm", _pages).read
    return partial(memory.held, os.getpid())


def limited(kind: type[Realizer], limit: int) -> type[Realizer]:
    """The same kind of realizer, which runs no second job while it is larger than `limit`."""

    class LimitedRealizer(kind):  # type: ignore[misc, valid-type]
        """Has to be replaced once it is too large; what it was sent goes back."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._size = _size_of_this()
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

        def _check_size(self) -> None:
            self._last = self._name
            if self._is_outgrown():
                self._report_soon()

        _spoiled: bool

        def _is_outgrown(self) -> bool:
            """Whether no job may run here any more; if that is new, it is told."""
            if self._last and not self._spoiled and (size := self._size()) > limit:
                self._spoiled = True
                self._outbox.report.outgrown = self._last, size
                self._drop_all()
            return self._spoiled

    return LimitedRealizer
