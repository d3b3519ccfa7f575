"""A worker in a process of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psutil

from tests.harness.processes import realizers
from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Worker:
    """A worker in a process of its own, that leads a group of its own."""

    def __init__(
        self,
        command: Sequence[str | bytes],
        log: Path,
        environment: Mapping[str, str],
        *,
        reapers: bool,
    ) -> None:
        """Start it in the directory of its log; its realizers have `reapers` above them or not."""
        self.log = log
        self._reapers = reapers
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=log.parent,
                env=environment,
                process_group=0,
            )
        self.pid = self.process.pid

    def printed(self) -> bytes:
        """All that came on its stderr so far."""
        return self.log.read_bytes()

    def said(self) -> str:
        """The same as text."""
        return self.printed().decode(errors="replace")

    def lines(self, id: int) -> list[bytes]:
        """What job `id` has printed."""
        label = b"[%d] " % id
        lines = self.printed().splitlines()
        return [line.removeprefix(label) for line in lines if line.startswith(label)]

    def ready(self) -> Worker:
        """Wait until it has loaded its jobs."""
        wait_until(lambda: "started:" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        return self

    def realizers(self) -> list[psutil.Process]:
        """The processes that run its jobs, as far as they live."""
        return realizers(self.pid, reapers=self._reapers)

    def stopped_realizer(self) -> psutil.Process:
        """Its only realizer, which can take jobs from now on, but not start them."""
        [realizer] = self.realizers()
        realizer.suspend()
        wait_until(lambda: realizer.status() == psutil.STATUS_STOPPED)
        return realizer

    def asleep(self) -> bool:
        """Whether it waits for something to happen."""
        return psutil.Process(self.pid).status() == psutil.STATUS_SLEEPING

    def family(self) -> list[psutil.Process]:
        """The worker and all below it."""
        me = psutil.Process(self.pid)
        return [me, *me.children(recursive=True)]

    def send(self, number: signal.Signals) -> None:
        """A signal to the supervisor."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the supervisor, and nothing else, with -9."""
        self.process.kill()
        self.process.wait()

    def end(self, limit: float = PATIENCE) -> int:
        """Its exit code, once it has left by itself."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {limit:g} s:\n{self.said()}") from None
