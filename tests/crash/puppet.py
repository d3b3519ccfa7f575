"""A crew whose realizers are played by the fuzzer, with a real store behind it."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from prokerja.errors import CatalogError
from prokerja.model import Declaration, Lane
from prokerja.repository.sqlite.claims import TURNS
from prokerja.repository.sqlite.repository import Repository
from prokerja.worker.pool.pool import Pool
from prokerja.worker.pool.process import RealizerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = 6
"""In the realizer's hands before it speaks."""
NOW = 1_700_000_000.0


class Nobody:
    """In place of a process."""

    def __init__(self, words: Any, **options: Any) -> None:
        self.pid = os.getpid()
        self.returncode = -9
        self.fds = options["pass_fds"]
        self.theirs = os.dup(self.fds[0])

    def wait(self, timeout: float) -> int:
        """It was never there."""
        return self.returncode


class Puppet:
    """One crew of one realizer; `with Puppet() as puppet`."""

    def __init__(self) -> None:
        self._watched: list[int] = []
        self.repository = Repository(":memory:")
        self.crew = Pool(1, self._hire, lambda hand: None, lambda event: None, 30.0)
        self.crew.greeted = True
        lane = Lane("default", "noop", 0)
        made = [Declaration(lane, "{}", NOW, n % 3, 1.0, None) for n in range(JOBS)]
        self.repository.declarations.add(made, NOW)
        self._turn = TURNS
        self.crew.muster(0.0)
        self.hand = self.crew.hands[0]
        self.line = socket.socket(fileno=self.hand.process.theirs)  # type: ignore[attr-defined]
        self.hand.ready = True

    def say(self, frame: bytes, board: tuple[int, int]) -> None:
        """Let the realizer write this, and the supervisor act upon it as it does each turn."""
        self._take()
        self.hand.board.words[0], self.hand.board.words[1] = board
        self.line.send(frame)
        crew = self.crew
        try:
            crew.listen(self.hand)
            for hand in crew.hands:
                hand.look_at = 0.0
            crew.look(1e18)
            crew.next_look()
        except CatalogError:
            return  # it gives up in good order when no realizer can load the jobs
        self._settle()

    def close(self) -> None:
        """Let go of everything."""
        self.crew.stopping = True
        for hand in list(self.crew.hands):
            self.crew.hands.remove(hand)
            hand.bury()
        self.line.close()
        self.repository.close()
        for descriptor in self._watched:
            os.close(descriptor)

    def _hire(self, ring: int) -> RealizerProcess:
        with patch.object(subprocess, "Popen", Nobody):
            return RealizerProcess("", (), -1, ring, self._watched.append)

    def _take(self) -> None:
        crew = self.crew
        self._turn += 1
        with self.repository.database.writing():
            ranks = self.repository.lanes.waiting(None, ())
            for waiting in (waiting for rank in ranks for waiting in rank):
                crew.names[waiting.id] = waiting.lane.name
            self.repository.claims.take(self._turn, ranks, NOW + 1e9, crew.choose)
        crew.deal()

    def _settle(self) -> None:
        """As the supervisor does."""
        crew, claims = self.crew, self.repository.claims
        crew.settle_loose()
        with self.repository.database.writing():
            for job, since in crew.started:
                claims.started(job.token, [(job.id, since)])
            for token, verdicts in crew.verdicts.items():
                claims.settle(token, verdicts, NOW, lambda: 0.5)
        crew.verdicts.clear()
        crew.started.clear()


@contextmanager
def puppet() -> Iterator[Puppet]:
    """One, for a while."""
    one = Puppet()
    try:
        yield one
    finally:
        one.close()
