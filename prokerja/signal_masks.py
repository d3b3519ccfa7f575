"""Which signals reach whom, and when: those that come too early wait."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OF_WORKERS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""What is meant for a worker, though its realizers may get it, too."""
EARLY = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What may come to a worker that is about to start, and must not end it."""
_held: set[int] = set()


def hold(signals: Iterable[int]) -> None:
    """Have these wait until `release`, unless they wait for something else already.

    What this process executes in its place has to `inherit` them.
    """
    chosen = set(signals)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, chosen)
    _held.update(chosen - before)


def inherit(signals: Iterable[int]) -> None:
    """These are held since before this program began."""
    _held.update(signals)


def release() -> None:
    """Hear of those that were held, in this thread: their handlers are there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held)
    _held.clear()


@contextmanager
def blocked(signals: Iterable[int] = ()) -> Iterator[None]:
    """Threads and processes that are started here take none of these signals, or none at all.

    What is meant for this process then reaches the thread that it is meant for.
    """
    chosen = set(signals) or signal.valid_signals()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, chosen)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
