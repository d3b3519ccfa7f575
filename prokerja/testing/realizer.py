"""A realizer in the process of whoever tests, which runs one attempt when it is told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prokerja.model.declaration import SHELL
from prokerja.worker.output.announcements import NOBODY
from prokerja.worker.output.capture import OutputCapture
from prokerja.worker.realizer.progress import ProgressReports
from prokerja.worker.realizer.run import Realizer
from prokerja.worker.realizer.running_job import RunningJob
from prokerja.worker.realizer.start import command
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.journal import Journal
from prokerja.worker.wire.messages import Batch, Report
from prokerja.worker.wire.shared_page import IDLE, RUNNING, SharedPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.catalog.loading import Loaded
    from prokerja.model.claim import Claimed, Extra
    from prokerja.model.declaration import Declaration
    from prokerja.verdicts import Ended
    from prokerja.worker.realizer.outcome import FollowUp

CELLS = 64


class InProcessRealizer(Realizer):
    """Runs jobs as any realizer does; `take` hears at once of all that it reports."""

    def __init__(
        self,
        loaded: Loaded,
        take: Callable[[Report], object],
        follow_ups: Callable[[list[FollowUp]], tuple[Declaration, ...]],
    ) -> None:
        output = PlainOutput()
        jobs: dict[str, Callable[..., Any]] = dict(loaded.classes)
        jobs[SHELL] = lambda **payload: command(output, **payload)
        super().__init__(
            PlainPage(), Direct(take), Journal(-1, 0), jobs, loaded.specs, output, follow_ups
        )
        running = RunningJob(self._running, self._page)
        progress = LastProgress(running, self._outbox.send_reportable)
        self._outbox.progress = self._running.progress = progress
        self._sequence = 0
        self.error: BaseException | None = None
        """What the last attempt has raised."""

    def attempt(self, job: Claimed, name: str, extra: Extra | None) -> None:
        """Run one, and report what came of it."""
        self.error = None
        self._sequence += 1
        self._page.cells[RUNNING] = self._sequence
        self._output.speaker = job.id, job.attempt
        self._running.id, self._running.number = job.id, job.attempt
        self._running.extra = extra
        claim = job.token, job.id
        self._realize(self._sequence, claim, name, job.payload, time.monotonic_ns())
        if self._coroutines is not None:
            self._coroutines.close()
        self._page.cells[RUNNING] = IDLE
        self._running.id = 0
        self._outbox.send()

    def confirm_step(self) -> None:
        """A step that was reported is kept."""
        self._page.confirm_step()

    def _unfinished(self, error: BaseException) -> Ended:
        self.error = error
        return super()._unfinished(error)


class PlainPage(SharedPage):
    """A page that nobody shares."""

    def __init__(self) -> None:
        self.cells = memoryview(bytearray(8 * CELLS)).cast("q")


class Direct(Channel[Batch]):
    """A line that ends in this process."""

    def __init__(self, take: Callable[[Report], object]) -> None:
        self._take = take

    def post(self, message: Report) -> None:  # type: ignore[override]
        self._take(message)


class PlainOutput(OutputCapture):
    """What jobs print goes where this process prints."""

    def __init__(self) -> None:
        self.speaker = NOBODY

    def announce(self) -> None:
        pass

    def end(self) -> None:
        pass

    def flush(self) -> None:
        pass


class LastProgress(ProgressReports):
    """The last word of an attempt is reported at its end, without a thread for those before."""

    def _wake(self) -> None:
        pass
