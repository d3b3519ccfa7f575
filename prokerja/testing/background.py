"""A worker in a thread of whoever tests; its realizers are processes, as always."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from prokerja.console.worker_log import WorkerLog
from prokerja.errors import ProkerjaError
from prokerja.worker_events import WorkerStarted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from prokerja.console.log_line import Line
    from prokerja.queue import Queue
    from prokerja.worker.worker import Worker
    from prokerja.worker_events import Event

MAX_FAILURES = 5


class BackgroundWorker(WorkerLog):
    """Keeps its log, and shows it to whoever has an error."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(started_seconds=0.0)
        self._queue = queue
        self._lines: list[str] = []
        self._begun = threading.Event()
        """It has loaded the jobs, or has ended."""
        self._error: BaseException | None = None

    @contextmanager
    def running(self, worker: Worker) -> Iterator[None]:
        """Run it; raises what it has died of, unless there is another error already."""
        thread = threading.Thread(target=self._run, args=(worker,), name="prokerja worker")
        thread.start()
        try:
            self._begun.wait()
            self._raise()
            yield
        except BaseException as error:
            error.add_note(self._report())
            raise
        finally:
            worker.stop()
            thread.join()
        self._raise()

    def say(self, said: Line, fields: Mapping[str, Any], at: float) -> None:
        """Keep it."""
        self._lines += said.texts

    def note(self, event: Event) -> None:
        """Take in what happens in the worker's thread."""
        self.tell(event)
        if isinstance(event, WorkerStarted):
            self._begun.set()

    def _run(self, worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001  it is raised where somebody can see it
            self._error = error
        finally:
            self._begun.set()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _report(self) -> str:
        """What the worker has said, and the traceback of what has failed for good."""
        report = ["the worker:", *self._lines]
        with suppress(ProkerjaError):  # it would hide the error that this is about
            for record in self._queue.failures(limit=MAX_FAILURES):
                attempt = self._queue.detail(record.id).attempts[-1]
                what = attempt.traceback or attempt.error or ""
                report += [f"job {record.id} {record.lane.name}:", what]
        return "\n  ".join("\n".join(report).splitlines())
