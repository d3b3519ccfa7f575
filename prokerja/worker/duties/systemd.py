"""Tells systemd whether the worker is ready, what it does, that it lives, and that it stops."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prokerja.errors import StoreError
from prokerja.text import escaped
from prokerja.worker.notify_socket import NotifySocket, watchdog_seconds

if TYPE_CHECKING:
    from prokerja.worker.duties.all import Parts

PAUSE_SECONDS = 1.0
"""Between two messages, unless there is another state to tell."""
EARLY = 0.5
"""Part of the time between two feeds of the watchdog for which one may come early."""
LOADING, READY, RELOADING, STOPPING = "loading", "ready", "reloading", "stopping"


class Systemd:
    """Says what has changed; the watchdog is fed because the supervisor's loop turns."""

    def __init__(self, parts: Parts, socket: NotifySocket, watchdog: float | None) -> None:
        self._repository = parts.repository
        self._requests = parts.requests
        self._pool = parts.pool
        self._turns = parts.turns
        self._holds = parts.holds
        self._taking = parts.options.taking()
        self._concurrency = parts.options.service.concurrency
        self._socket = socket
        self._feed_seconds = None if watchdog is None else watchdog / 2
        self._feed_at = 0.0
        self._quiet_until = 0.0
        self._state, self._status = LOADING, ""
        """What systemd was last told."""
        self._news: tuple[object, ...] = ()
        """What it was told because of."""
        self._failed = False
        """Whether it did not take the last message."""

    @property
    def due(self) -> float | None:
        """At once for another state, soon for other counts, and when the watchdog is to be fed."""
        if self._state_now() != self._state and not self._failed:
            return 0.0
        moments = [] if self._feed_seconds is None else [self._feeding()]
        if self._failed or self._news_now() != self._news:
            moments.append(self._quiet_until)
        return min(moments, default=None)

    def run(self, now: float) -> None:
        """Say all there is to say, in one message."""
        state, news, status = self._state_now(), self._news_now(), self._status_now()
        words = [] if state == self._state else _words(state)
        if status != self._status:
            words.append(f"STATUS={status}")
        if self._feed_seconds is not None:
            words.append("WATCHDOG=1")
        self._quiet_until = now + PAUSE_SECONDS
        self._failed = bool(words) and not self._socket.send(*words)
        if self._failed:
            self._feed_at = self._quiet_until
        else:
            self._state, self._news, self._status = state, news, status
            self._feed_at = now + (self._feed_seconds or 0.0)

    def close(self) -> None:
        """Say nothing any more."""
        self._socket.close()

    def _feeding(self) -> float:
        """When to feed the watchdog; at once if we are awake, and would have to wake up soon."""
        early = self._feed_at - (self._feed_seconds or 0.0) * EARLY
        return 0.0 if time.monotonic() >= early else self._feed_at

    def _state_now(self) -> str:
        if self._requests.restart:  # whoever goes on as this process says that it is ready
            return RELOADING
        if self._requests.reason or self._pool.stopping:
            return STOPPING
        # A worker that takes no jobs for a reason is up, and says why.
        is_ready = self._turns.has_claimed or self._holds.is_holding
        return READY if is_ready else LOADING

    def _news_now(self) -> tuple[object, ...]:
        """What differs once there may be another status."""
        return (self._running(), self._turns.totals.count, *self._holds.notes)

    def _status_now(self) -> str:
        state, running = self._state_now(), f"{self._running():,} running"
        if state == LOADING:
            return "loading the jobs"
        if state != READY:
            why = self._requests.reason
            return escaped(f"{state}{': ' if why else ''}{why}; {running}")
        held = [f"taking no jobs: {note.text}" for note in self._holds.notes if note.holds]
        queues = f"queues: {', '.join(self._taking.queues) or 'all'}"
        return escaped("; ".join([queues, f"{running}{self._pending()}", *held]))

    def _running(self) -> int:
        return sum(min(len(one.jobs), self._concurrency) for one in self._pool.processes)

    def _pending(self) -> str:
        try:
            queues = self._repository.summary(None, time.time()).queues
        except StoreError:  # those who need the store will say so
            return ""
        count = sum(one.pending for one in queues if self._taking.serves(one.queue))
        return f", {count:,} pending"


def systemd_of(parts: Parts) -> Systemd | None:
    """What tells systemd; None if it does not listen."""
    address = os.environ["NOTIFY_SOCKET"]
    if address[:1] not in ("/", "@"):
        return None
    return Systemd(parts, NotifySocket(address), watchdog_seconds())


def _words(state: str) -> list[str]:
    if state == RELOADING:
        return ["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"]
    return [f"{state.upper()}=1"]
