"""Keeps a process going that calls the functions of `listeners.py`, if there is that file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from prokerja import shortage
from prokerja.backoff import Backoff
from prokerja.exit_codes import signal_name
from prokerja.listening import STOP_SECONDS
from prokerja.names import portable
from prokerja.worker_events import ListenersEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.events import Position
    from prokerja.worker.loop import EventLoop
    from prokerja.worker_events import Event

BOOT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("prokerja", sys.argv[1])
sys.modules["prokerja"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["prokerja"])
from prokerja.worker.listening import main
main(sys.argv[2])
"""
"""With this very package, wherever it was imported from."""
OPTIONS = ("-X", "utf8", "-P", "-c")
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
HEALTHY_SECONDS = 60.0
"""A process that has lived for so long counts as one that works."""
LOOK_SECONDS = 1.0
"""Between two looks at the process, where the system does not tell of its end."""


class Listeners:
    """The process; what it tells of its functions goes to our stderr."""

    def __init__(
        self,
        db: str,
        jobs: str,
        after: Position,
        environment: Mapping[str, str],
        loop: EventLoop,
        tell: Callable[[Event], None],
    ) -> None:
        """It is told what has happened after a place in the store."""
        self._given = (db, portable(jobs), str(after))
        self._environment = environment
        self._loop = loop
        self._tell = tell
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._places = TemporaryFile()  # noqa: SIM115  closed with the rest
        """Where each function is, for the next process to go on from there."""
        self._process: subprocess.Popen[bytes] | None = None
        self._alive = self._end = -1
        self._started_at = 0.0
        self.due: float | None = 0.0

    def run(self, now: float) -> None:
        """Start it, or see whether it has ended."""
        if self._process is None:
            self._start(now)
        else:
            self._look(now)

    def close(self, *, forced: bool) -> None:
        """Have it call what there is to call so far, and end; kill it if that is `forced`."""
        process, self.due = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(0.0 if forced else STOP_SECONDS + LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._tell(ListenersEnded("did not end, and was killed", None))
            self._forget()
        self._places.close()

    def _start(self, now: float) -> None:
        db, jobs, after = self._given
        try:
            theirs, ours = os.pipe()
        except OSError as error:
            self._not_started(now, error)
            return
        given = [db, jobs, after, self._places.fileno(), theirs]
        path = [portable(os.path.abspath(entry)) for entry in sys.path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *OPTIONS, BOOT, _package(), json.dumps([*given, path])],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(self._places.fileno(), theirs),
                start_new_session=True,
                env=self._environment,
            )
        except OSError as error:
            os.close(ours)
            self._not_started(now, error)
            return
        finally:
            os.close(theirs)
        self._alive, self._started_at, self.due = ours, now, None
        self._watch(now)

    def _watch(self, now: float) -> None:
        assert self._process is not None
        with contextlib.suppress(OSError):  # a sandbox may not have it
            if sys.platform == "linux":
                self._end = os.pidfd_open(self._process.pid)
                self._loop.add(self._end, lambda: self._look(time.monotonic()))
        if self._end < 0:
            self.due = now + LOOK_SECONDS

    def _look(self, now: float) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            self.due = now + LOOK_SECONDS
            return
        self._forget()
        if now - self._started_at >= HEALTHY_SECONDS:
            self._backoff.reset()
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with status {code}"
        self._ended(now, how)

    def _not_started(self, now: float, error: OSError) -> None:
        self._ended(now, f"could not be started: {shortage.of_process(error)}")

    def _ended(self, now: float, how: str) -> None:
        pause = self._backoff.failed()
        self.due = now + pause
        self._tell(ListenersEnded(how, pause))

    def _forget(self) -> None:
        if self._end >= 0:
            self._loop.remove(self._end)
            os.close(self._end)
        os.close(self._alive)
        self._process, self._alive, self._end = None, -1, -1


def _package() -> str:
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.path.join(here, "__init__.py")
