"""Calls functions with what happens in a store, each in threads of its own."""

from __future__ import annotations

import threading
import time
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from prokerja import repository as repositories
from prokerja.errors import BadOption, RequestError, StoreError, TryAgain
from prokerja.event_following import EVENTS_AT_ONCE, MAX_SLEEP_SECONDS, REST_SECONDS, Follower
from prokerja.events import NAMES, Event, JobEvent
from prokerja.text import brief, error_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prokerja.events import Position
    from prokerja.repository.verbs import Repository

    Function = TypeVar("Function", bound=Callable[..., object])
    Tell = Callable[[str], None]

PATIENCE_SECONDS = 10.0
"""A call that takes longer is told of."""
STOP_SECONDS = 5.0
"""For which a listener that is to stop may still be busy."""
RETRY_SECONDS = 1.0
"""Between two looks at a store that cannot be read just now."""
MAX_WAITING = 1000
"""Events that wait for a listener; the others wait in the store."""


class Call(NamedTuple):
    """What is to be called with which events."""

    kind: Any
    """A class of events, several, or a union of them."""
    function: Callable[[Any], object]
    patience: float = PATIENCE_SECONDS
    """Seconds after which a call is told of that has not returned."""

    @property
    def name(self) -> str:
        """The function's."""
        return brief(getattr(self.function, "__qualname__", type(self.function).__name__))


registered: list[Call] = []
"""By `on`, in this process."""


def on(kind: Any, *, patience: float = PATIENCE_SECONDS) -> Callable[[Function], Function]:
    """Have the worker call a function of `listeners.py` with each event of a kind.

    `kind` is a class of `prokerja.events`, several, or a union of them. A call that takes longer
    than `patience` seconds is told of. Raises RequestError for what is no kind.
    """

    def register(function: Function) -> Function:
        registered.append(checked(kind, function, patience))
        return function

    return register


def checked(kind: Any, function: Any, patience: float) -> Call:
    """What is to be called; raises RequestError or BadOption for what cannot be."""
    if not callable(function):
        raise RequestError(f"{shown(function)} cannot be called; give a function of one event")
    if not _is_kind(kind):
        raise RequestError(
            f"{shown(kind)} is no kind of event; give a class of prokerja.events, or several"
        )
    if not isinstance(patience, int | float) or not patience > 0:
        raise BadOption(f"patience: {shown(patience)} does not fit; give more than 0 seconds")
    return Call(kind, function, patience)


def _is_kind(kind: Any) -> bool:
    parts = kind if isinstance(kind, tuple) else get_args(kind)
    if parts:
        return all(map(_is_kind, parts))
    return isinstance(kind, type) and issubclass(kind, Event)


class Listener:
    """Calls a function with each event of its kinds, until it is stopped.

    One thread reads the store, another calls. What goes wrong is told, and changes nothing else.
    """

    def __init__(
        self,
        source: Repository,
        after: Position,
        call: Call,
        tell: Tell,
        on_call: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`on_call` is called before the function, with the same event."""
        self._call = call
        self._tell = tell
        self._on_call = on_call
        self._waiting: Queue[Event | None] = Queue(MAX_WAITING)
        self._put_count = self._done_count = 0
        """Of events; each is counted by the one thread that does it."""
        self._current: Event | None = None
        self._since = 0.0
        """When the function was called with that, in monotonic seconds."""
        self._told_of: Event | None = None
        self._stopping = False
        self._is_own = source.is_shared
        self._store = repositories.open(source.path, create=False) if self._is_own else source
        self._follower = Follower(self._store, after)
        name = f"prokerja-listener-{call.name}"
        self._caller = threading.Thread(target=self._calling, name=f"{name}-call", daemon=True)
        self._reader = threading.Thread(target=self._reading, name=name, daemon=True)
        self._caller.start()
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether it may still call the function."""
        return self._caller.is_alive()

    def stop_soon(self) -> None:
        """Have it end once it has been called with what has happened so far."""
        self._stopping = True
        self._follower.wake()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Call it with what has happened so far, and no more; returns whether it has ended.

        Waits for `seconds` at the most, and not at all where the function itself stops it.
        """
        self.stop_soon()
        if threading.current_thread() is self._caller:
            return False
        give_up = time.monotonic() + seconds
        self._reader.join(seconds)
        while self.is_alive and (left := give_up - time.monotonic()) > 0:
            self._caller.join(min(left, self._patience()))
            self._look()
        if self.is_alive:
            self._tell(f"listener {self._call.name} has not ended, and is left behind")
        return not self.is_alive

    def _reading(self) -> None:
        try:
            while self._read():
                pass
        except StoreError as error:
            self._tell(f"listener {self._call.name} has ended: {error}")
        self._put(None)
        self._follower.close()
        if self._is_own:
            self._store.close()

    def _read(self) -> bool:
        """Hand over what has happened, or wait for more; returns whether to go on."""
        is_last = self._stopping  # from before the look: what happened until then is told
        try:
            found = self._follower.next()
        except TryAgain as error:
            self._tell(f"listener {self._call.name} waits: {error}")
            time.sleep(RETRY_SECONDS)
            return not is_last
        for event in found:
            if isinstance(event, self._call.kind):
                self._put(event)
        if len(found) == EVENTS_AT_ONCE:
            return True
        if not is_last:
            time.sleep(REST_SECONDS) if found else self._follower.wait(self._patience())
            self._look()
        return not is_last

    def _put(self, event: Event | None) -> None:
        self._put_count += 1
        while True:
            try:
                self._waiting.put(event, timeout=self._patience())
            except Full:
                self._look()
            else:
                return

    def _patience(self) -> float:
        """Seconds until the function has been busy for too long, if it is."""
        if self._put_count == self._done_count:
            return MAX_SLEEP_SECONDS
        patience, event = min(self._call.patience, MAX_SLEEP_SECONDS), self._current
        if event is None or event is self._told_of:
            return patience
        return min(max(self._since + self._call.patience - time.monotonic(), 0.0), patience)

    def _look(self) -> None:
        """Tell of a call that takes too long, once."""
        event, took = self._current, time.monotonic() - self._since
        if event is not None and event is not self._told_of and took >= self._call.patience:
            self._told_of = event
            seconds = self._call.patience
            self._tell(
                f"listener {self._call.name} has been busy for {seconds:g} s with {_of(event)}"
            )

    def _calling(self) -> None:
        while (event := self._waiting.get()) is not None:
            self._since, self._current = time.monotonic(), event
            try:
                self._on_call(event)
                self._call.function(event)
            except BaseException as error:  # noqa: BLE001  it is theirs
                self._tell(
                    f"listener {self._call.name} failed at {_of(event)}: {error_line(error)}"
                )
            self._current = None
            self._done_count += 1


def stop_all(listeners: Sequence[Listener]) -> None:
    """Stop them together, so that none waits for one that is busy."""
    give_up = time.monotonic() + STOP_SECONDS
    for listener in listeners:
        listener.stop_soon()
    for listener in listeners:
        listener.stop(max(give_up - time.monotonic(), 0.0))


def log(line: str) -> None:
    """Tell it by the logger `prokerja`, which writes to stderr unless told otherwise."""
    import logging

    logging.getLogger("prokerja").warning("%s", line)


def _of(event: Event) -> str:
    name = NAMES[type(event)]
    return f"{name} of job {event.id}" if isinstance(event, JobEvent) else name
