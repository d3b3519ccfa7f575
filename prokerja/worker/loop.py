"""What a supervisor sleeps on: signals, the file, and its realizers."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.duties.lookout import Lookout
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.pool.process import RealizerProcess


class Source(Protocol):
    """Something that can be waited for; a negative descriptor never says anything."""

    def fileno(self) -> int: ...


class EventLoop:
    """Waits for many things at once, and lets each act when it stirs."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._lookout: Lookout | None = None
        self._listens = False
        """Whether it waits for writes to the file just now."""

    def add(self, source: Source, act: Callable[[], object]) -> None:
        """Call `act` when the source becomes readable."""
        if source.fileno() >= 0:
            self._selector.register(source, EVENT_READ, act)

    def add_file(self, lookout: Lookout) -> None:
        """Listen for writes to the file, as long as they tell the lookout anything new."""
        if lookout.watch.fileno() >= 0:
            self._lookout = lookout

    def add_hand(self, hand: RealizerProcess, crew: Pool) -> None:
        """Listen to a realizer, and for its end."""
        with ExitStack() as undo:
            self._selector.register(hand.channel, EVENT_READ, partial(crew.listen, hand))
            undo.callback(self._selector.unregister, hand.channel)
            if hand.ending >= 0:
                self._selector.register(hand.ending, EVENT_READ, partial(crew.ended, hand))
            undo.pop_all()

    def drop_hand(self, hand: RealizerProcess) -> None:
        """Listen to a realizer no more."""
        self._selector.unregister(hand.channel)
        if hand.ending >= 0:
            self._selector.unregister(hand.ending)

    def wait(self, pause: float | None, crew: Pool) -> None:
        """Sleep until something stirs, for `pause` seconds at most (None: for ever)."""
        for hand in crew.hands:
            wanted = EVENT_READ | (EVENT_WRITE if hand.channel.outbox else 0)
            if self._selector.get_key(hand.channel).events != wanted:
                self._selector.modify(hand.channel, wanted, partial(crew.listen, hand))
        if self._lookout is not None and self._listens == self._lookout.deaf:
            self._turn_to(self._lookout)
        for key, _ in self._selector.select(pause):
            key.data()

    def _turn_to(self, lookout: Lookout) -> None:
        self._listens = not self._listens
        if self._listens:
            self.add(lookout.watch, lambda: lookout.hear(time.monotonic()))
        else:
            self._selector.unregister(lookout.watch)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._selector.close()
