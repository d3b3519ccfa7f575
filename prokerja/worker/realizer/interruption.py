"""How a process ends in the middle of a job: asked to, or as a child that the job has made."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from prokerja.worker.realizer.event_loop import cancel_tasks
from prokerja.worker.wire.shared_page import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from prokerja.worker.wire.shared_page import SharedPage


class Interrupted(SystemExit):
    """The running job is to end: its time limit, or the worker's grace, is over."""


class Interruption:
    """Made by the thread that runs jobs; `flush` is called before the process dies of it."""

    def __init__(self, page: SharedPage, flush: Callable[[], object]) -> None:
        self._page = page
        self._flush = flush
        self._process = os.getpid()
        self.tasks_cancelled = False
        """Whether the running job's tasks were cancelled, because it is to end."""

    def install(self) -> None:
        """Have a TERM interrupt the running job, unless the job files have set it to something."""
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_term)
            os.register_at_fork(
                before=self._block_term,
                after_in_child=self._end_at_term,
                after_in_parent=self._unblock_term,
            )

    def die(self) -> NoReturn:
        """End as any process does that is asked to, now that the job's own clean-up is done."""
        self._flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)

    def exit_if_forked(self) -> None:
        """End a child that the job has forked and that came back from it like its parent."""
        if os.getpid() != self._process:
            os._exit(0)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if self._page.cells[RUNNING] <= 0 or os.getpid() != self._process:
            self.die()
        if self.tasks_cancelled or not cancel_tasks(frame):
            raise Interrupted("the job was asked to end")
        self.tasks_cancelled = True

    def _block_term(self) -> None:
        """Keep a TERM from a child that is being made: Python forgets what it hears before."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def _unblock_term(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _end_at_term(self) -> None:
        """What a job forks ends at a TERM, as any process does."""
        if signal.getsignal(signal.SIGTERM) == self._on_term:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._unblock_term()
