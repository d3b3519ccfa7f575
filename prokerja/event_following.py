"""Follows what happens in a store, event by event."""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock  # `threading` imports more than a command needs
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from prokerja.errors import NotFound, TryAgain
from prokerja.events import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.events import Event
    from prokerja.repository.verbs import Repository, Watch

EVENTS_AT_ONCE = 1000
MAX_SLEEP_SECONDS = 30.0
"""After which the store is looked at anyway."""
REST_SECONDS = 0.01
"""Between two looks at a busy queue, which wakes us all the time: a worker needs the machine."""


def place_of(event: Event) -> Position:
    """The place just after an event."""
    found = Position.read(event.cursor)
    assert found is not None
    return found


class Follower:
    """What happens in a store after a place; for one thread, but for `wake`."""

    def __init__(self, repository: Repository, after: Position) -> None:
        self._repository = repository
        self._watch: Watch = repository.watch()  # before the first look: no event escapes
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        self._lock = allocate_lock()
        self._closed = False
        self.after = after
        """The place of the last event that was given out."""

    def next(self) -> list[Event]:
        """What has happened next, if anything."""
        found = self._repository.events(self.after, EVENTS_AT_ONCE)
        if not found:
            # A write wakes us before it can be seen; once the lock is ours, it can.
            with suppress(TryAgain):
                self._repository.refuse_newer()
            found = self._repository.events(self.after, EVENTS_AT_ONCE)
        if found:
            self.after = place_of(found[-1])
        return found

    def wait(self, seconds: float = MAX_SLEEP_SECONDS, output: int = -1) -> None:
        """Sleep until something is written, or somebody calls `wake`.

        Raises BrokenPipeError if nobody reads any more what is written to `output`.
        """
        poll = select.poll()
        for descriptor in (self._readable, self._watch.fileno()):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        if output >= 0:
            poll.register(output, 0)
        pace = self._watch.pace
        ready = dict(poll.poll(1000 * (seconds if pace is None else min(seconds, pace))))
        self._watch.drain()
        if ready.get(output):
            raise BrokenPipeError

    def wake(self) -> None:
        """End the sleep of this moment, and all that are to come."""
        with self._lock, suppress(BlockingIOError):
            if not self._closed:
                os.write(self._writable, b".")

    def close(self) -> None:
        """Follow no more."""
        self._watch.close()
        with self._lock:
            self._closed = True
            os.close(self._readable)
            os.close(self._writable)


def follow(
    repository: Repository, after: Position, is_wanted: Callable[[Event], bool], output: int = -1
) -> Iterator[Event]:
    """What happens after a place that is wanted, as it happens, without end.

    Raises BrokenPipeError if nobody reads any more what is written to `output`, and NotFound once
    the store's file has been deleted or replaced.
    """
    file = _file(repository)
    with closing(Follower(repository, after)) as follower:
        while True:
            if found := follower.next():
                yield from filter(is_wanted, found)
                if len(found) < EVENTS_AT_ONCE:
                    time.sleep(REST_SECONDS)
            else:
                if _file(repository) != file:
                    raise NotFound(f"{repository.path} is gone, or another file by now")
                follower.wait(MAX_SLEEP_SECONDS, output)


def _file(repository: Repository) -> tuple[int, int] | None:
    """Which file it is that stands where the store's did; None for none."""
    try:
        status = os.stat(repository.path) if repository.is_shared else None
    except OSError:
        status = None
    return None if status is None else (status.st_dev, status.st_ino)


def so_far(
    repository: Repository, after: Position, is_wanted: Callable[[Event], bool]
) -> Iterator[Event]:
    """What has happened after a place that is wanted."""
    while found := repository.events(after, EVENTS_AT_ONCE):
        yield from filter(is_wanted, found)
        after = place_of(found[-1])
