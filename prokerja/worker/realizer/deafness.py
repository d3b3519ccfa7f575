"""A realizer's deafness to signals that somebody sends to its worker and all that it has started.

What its jobs start is not deaf.
"""

from __future__ import annotations

import os
import signal

from prokerja.signal_masks import OF_WORKERS

UNHEARD = {number for number in OF_WORKERS if number != signal.SIGINT}
"""An interrupt is the one that programs send to themselves, to interrupt what they do."""


class Deafness:
    """Made once, as early as may be; what came while this process started is forgotten."""

    def __init__(self) -> None:
        for number in OF_WORKERS:
            usual = signal.getsignal(number)
            if usual == signal.SIG_IGN:
                continue
            signal.signal(number, signal.SIG_IGN)  # the kernel drops what waits
            is_unheard = number in UNHEARD and usual == signal.SIG_DFL
            signal.signal(number, _do_nothing if is_unheard else usual)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_WORKERS)
        os.register_at_fork(
            before=self._block, after_in_child=self._hear_again, after_in_parent=self._unblock
        )

    def _block(self) -> None:
        """Keep them from a child that is being made: Python forgets what it hears before."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _hear_again(self) -> None:
        for number in UNHEARD:
            if signal.getsignal(number) is _do_nothing:
                signal.signal(number, signal.SIG_DFL)
        self._unblock()


def _do_nothing(*_: object) -> None:
    pass
