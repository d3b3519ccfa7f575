"""A realizer's deafness to signals that somebody sends to its worker and all that it has started.

What its jobs start is not deaf.
"""

from __future__ import annotations

import os
import signal

from prokerja.signal_masks import OF_WORKERS

UNHEARD = {number for number in OF_WORKERS if number != signal.SIGINT}
"""An interrupt is the one that programs send to themselves, to interrupt what they do."""


def ignore_signals_of_workers() -> None:
    """Begin to hear signals again, and nothing of those that came while this process started."""
    for number in OF_WORKERS:
        usual = signal.getsignal(number)
        if usual == signal.SIG_IGN:
            continue
        signal.signal(number, signal.SIG_IGN)  # the kernel drops what waits
        is_unheard = number in UNHEARD and usual == signal.SIG_DFL
        signal.signal(number, _do_nothing if is_unheard else usual)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_WORKERS)
    os.register_at_fork(after_in_child=_hear_again)


def _do_nothing(*_: object) -> None:
    pass


def _hear_again() -> None:
    for number in UNHEARD:
        if signal.getsignal(number) is _do_nothing:
            signal.signal(number, signal.SIG_DFL)
