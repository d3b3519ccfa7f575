"""Waits for many things at once: signals, writes to the store, and realizers."""

from __future__ import annotations

from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import SelectorKey


class Source(Protocol):
    """Something that can be waited for; a negative descriptor never says anything."""

    def fileno(self) -> int: ...


class Watched(NamedTuple):
    """A source whose interest changes, and what to call."""

    source: Source
    act: Callable[[], object]
    interest: Callable[[], int]


class EventLoop:
    """Calls what belongs to a source when it becomes ready."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._watched: dict[int, Watched] = {}

    def add(self, source: Source | int, act: Callable[[], object]) -> None:
        """Call `act` when the source becomes readable."""
        if (source if isinstance(source, int) else source.fileno()) >= 0:
            self._selector.register(source, EVENT_READ, act)

    def add_watched(
        self, source: Source, act: Callable[[], object], interest: Callable[[], int]
    ) -> None:
        """Call `act` when the source is ready for what `interest` says just then, 0 for nothing."""
        if source.fileno() >= 0:
            self._watched[id(source)] = Watched(source, act, interest)
            self._adjust(self._watched[id(source)])

    def remove(self, source: Source | int) -> None:
        """Wait for it no more."""
        self._watched.pop(id(source), None)
        if source != -1 and self._key(source) is not None:
            self._selector.unregister(source)

    def wait(self, seconds: float | None) -> None:
        """Sleep until something is ready, for so many seconds at most (None: for ever)."""
        for watched in self._watched.values():
            self._adjust(watched)
        for key, _ in self._selector.select(seconds):
            key.data()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._selector.close()

    def _adjust(self, watched: Watched) -> None:
        source, act, interest = watched
        wanted, key = interest(), self._key(source)
        if key is None:
            if wanted:
                self._selector.register(source, wanted, act)
        elif not wanted:
            self._selector.unregister(source)
        elif wanted != key.events:
            self._selector.modify(source, wanted, act)

    def _key(self, source: Source | int) -> SelectorKey | None:
        return self._selector.get_map().get(source)
