"""Starts the realizers of a worker, and listens to them."""

from __future__ import annotations

from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING

from prokerja.extras import is_there
from prokerja.worker.descriptor_limit import DescriptorLimit
from prokerja.worker.pool.process import RealizerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker.loop import EventLoop
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.output.pump import Pump
    from prokerja.worker.pool.pool import Pool


class Launcher:
    """What a pool starts its realizers with; the pool itself is given afterwards."""

    pool: Pool

    def __init__(self, options: WorkerOptions, pump: Pump, loop: EventLoop) -> None:
        self._options = options
        self._pump = pump
        self._loop = loop
        self._limit = DescriptorLimit(options.realizers, options.service.concurrency)
        self.lock = -1
        """The worker's, which its realizers hold with it."""
        self._titles = options.service.titles and is_there("setproctitle")

    def start(self, ring: int) -> RealizerProcess:
        """A new realizer whose journal is in that ring of the lock; raises OSError for no room."""
        options = self._options
        process = self._kind()(
            options.jobs, options.classes, self.lock, ring,
            self._pump, options.environment(), options.tracing,
            service=options.service._replace(titles=self._titles),
        )  # fmt: skip
        self._limit.keep_from(process.pid)
        try:
            receive = partial(self.pool.receive, process)
            self._loop.add_watched(process.channel, receive, partial(_interest_in, process))
            self._loop.add(process.end, partial(self.pool.exited, process))
        except OSError:
            self._loop.remove(process.channel)
            process.kill()
            process.reap()
            raise
        return process

    def _kind(self) -> Callable[..., RealizerProcess]:
        if self._options.service.concurrency == 1:
            return RealizerProcess
        from prokerja.worker.pool.wide import WideProcess

        return partial(WideProcess, self.pool.is_async)

    def close(self) -> None:
        """Start no more."""
        self._limit.restore()

    def release(self, process: RealizerProcess) -> None:
        """Listen to it no more: it has ended."""
        self._loop.remove(process.channel)
        self._loop.remove(process.end)


def _interest_in(process: RealizerProcess) -> int:
    return EVENT_READ | (EVENT_WRITE if process.channel.outbox else 0)
