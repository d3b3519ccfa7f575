"""What a worker does that takes jobs in another one's place: what that one tells it to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.worker.duties.signals import Urgency
from prokerja.worker.restart import FINISH, KILL, PAUSE, RESUME, STOP

if TYPE_CHECKING:
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.loop import EventLoop

URGENCY = {FINISH: Urgency.FINISH, STOP: Urgency.GRACE, KILL: Urgency.NOW}


class Orders:
    """Comes through a pipe, one byte each; at its end, the other worker is gone."""

    def __init__(self, pipe: int, requests: StopRequests, loop: EventLoop) -> None:
        self._pipe = pipe
        self._requests = requests
        self._loop = loop
        loop.add(pipe, self._take)

    def _take(self) -> None:
        given = os.read(self._pipe, 64)
        if not given:
            self._loop.remove(self._pipe)
            os.close(self._pipe)
            self._requests.request("the worker that it relieves is gone", patient=True)
        for order in (given[n : n + 1] for n in range(len(given))):
            if order in (PAUSE, RESUME):
                self._requests.is_paused = order == PAUSE
            else:
                self._requests.ask(URGENCY[order], "the worker that it relieves asks for it")
