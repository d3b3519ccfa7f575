"""Hears of others' writes: there may be work, one may have died, a job may be to stop."""

from __future__ import annotations

import random
import time
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from prokerja.worker_events import FileUnwatched

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Watch
    from prokerja.worker.duties.file_check import FileCheck
    from prokerja.worker.duties.recovery import Recovery
    from prokerja.worker.duties.requests import RequestCheck
    from prokerja.worker.duties.upgrade import UpgradeCheck
    from prokerja.worker_events import Event


class Writes:
    """Passes on what a watch of the store hears."""

    def __init__(
        self,
        watch: Watch,
        recovery: Recovery,
        upgrade: UpgradeCheck,
        requests: RequestCheck,
        files: FileCheck,
        tell: Callable[[Event], None],
        jitter: float = 0.0,
    ) -> None:
        """Where writes have to be looked for, a random part of `jitter` seconds is added each time.

        So workers that were started together do not look together.
        """
        self._jitter = jitter
        self._watch = watch
        self._recovery = recovery
        self._upgrade = upgrade
        self._requests = requests
        self._files = files
        self._tell = tell
        self._reported = ""
        """The shortage last reported."""
        self._heard_at = 0.0
        self._extra = 0.0
        """Seconds of the jitter."""
        self.woken = True
        """Whether anybody may have written since we last looked for work."""

    @property
    def due(self) -> float | None:
        """None where the system tells of writes; elsewhere they are looked for."""
        if self._watch.pace is None:
            return None
        return self._heard_at + self._watch.pace + self._extra

    def run(self, now: float) -> None:
        """Nothing tells us, so anything may have happened."""
        self._hear(now)

    def hear(self) -> None:
        """Somebody has written, or is about to."""
        self._hear(time.monotonic())

    def look(self) -> None:
        """Something has changed here that may let jobs be taken."""
        self.woken = True

    def interest(self) -> int:
        """Whether to hear of another write would tell us anything new, as a selector's mask."""
        stirred = self._recovery.is_stirred and self._requests.is_stirred
        return 0 if self.woken and stirred else EVENT_READ

    def wrote(self, now: float, *, full: bool) -> None:
        """We have written ourselves, under the lock, and looked for work unless we are `full`."""
        self.woken = full  # a full worker will look anyway, as soon as there is room
        self._upgrade.seen(now)

    def _hear(self, now: float) -> None:
        self._heard_at = now
        if self._jitter and self._watch.pace is not None:
            self._extra = random.random() * self._jitter
        if self._watch.shortage != self._reported:
            self._reported = self._watch.shortage
            if self._reported:
                self._tell(FileUnwatched(self._reported))
        if self._watch.drain():
            self._recovery.suspected = True
        self.woken = True
        self._recovery.on_write(now)
        self._upgrade.on_write(now)
        self._requests.on_write(now)
        self._files.on_write(now)
