"""An old program that keeps its queue open, and declares for as long as it may."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prokerja.errors import StoreError, TryAgain
from prokerja.queue import Queue
from tests.crash.jobs.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Callable

ASIDE: dict[str, Any] = {"queue": "aside", "delay": 3600}
"""How it declares: for nobody, and not now."""
WAYS = 5
"""There are so many ways in, each with a refusal in the end."""


class Declarer(threading.Thread):
    """Declares in both ways, through its own connection and another, until `limit` (seconds)."""

    def __init__(self, path: str, limit: float) -> None:
        super().__init__(daemon=True)
        self._queue = Queue(path)
        self._limit = limit
        self.ids: list[int] = []
        self.refusals: list[str] = []
        """What each way in has answered, once one was closed."""

    def run(self) -> None:
        give_up = time.monotonic() + self._limit
        with closing(self._queue), closing(sqlite3.connect(self._queue.path)) as connection:
            while not self.refusals and time.monotonic() < give_up:
                self._try(lambda: self.ids.append(self._queue.declare(Mark(0), **ASIDE)))
                self._try(lambda: self.ids.append(self._within(connection)))
            self.refusals.clear()
            self._try(lambda: self._queue.declare(Mark(0), **ASIDE))
            self._try(lambda: self._queue.declare(Mark(0), queue="a new one"))
            self._try(lambda: self._queue.declare_many([Mark(0)] * 3))
            self._try(lambda: self._queue.retry(1))
            self._try(lambda: self._within(connection))

    def _within(self, connection: sqlite3.Connection) -> int:
        with connection:
            return self._queue.declare(Mark(0), connection=connection, **ASIDE)

    def _try(self, way: Callable[[], object]) -> None:
        try:
            way()
        except TryAgain:
            pass  # too many at once for a connection that waits as SQLite does
        except StoreError as error:
            self.refusals.append(str(error))
