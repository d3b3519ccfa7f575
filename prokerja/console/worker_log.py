"""A worker's log: one line an event, but for short jobs, which are only counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prokerja import worker_events as events
from prokerja.console import plural
from prokerja.console.journal import INFO, WARNING
from prokerja.console.log_formats import Text
from prokerja.console.log_line import Line
from prokerja.console.worker_lines import line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from prokerja.console.log_formats import LogFormat

SUMMARY_SECONDS = 60.0
"""Between the first job that is counted and the line that says how many there were."""
TERMINAL_SECONDS = 1.0
"""The same where somebody watches."""
STARTED_SECONDS = 1.0
"""A job that has ended by then leaves no line of its own, unless it has failed."""
MAX_DESCRIBED = 1000
"""Of the latest jobs it is known what they call themselves."""
NO_JOBS = "no job file was found, so only commands run"
UNTIL_THEN, RESTART = " until there is one", "; restart it after adding one"


class WorkerLog:
    """Takes events and writes lines, in any thread, but in one at a time."""

    def __init__(
        self,
        written: LogFormat | None = None,
        *,
        summary_seconds: float = SUMMARY_SECONDS,
        started_seconds: float = STARTED_SECONDS,
    ) -> None:
        self._written = written or Text()
        self._summary_seconds = summary_seconds
        self._started_seconds = started_seconds
        self._completed = 0
        self._summary_due: float | None = None
        self._started: dict[int, tuple[float, events.JobStarted]] = {}
        """Jobs by id that run, and when to say so."""
        self._described: dict[int, str] = {}
        """What jobs call themselves, by id."""

    def __enter__(self) -> WorkerLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        pass

    @property
    def due(self) -> float | None:
        """When there will be something to say though nothing happens, in monotonic seconds."""
        moments = [due for due, _ in self._started.values()]
        if self._summary_due is not None:
            moments.append(self._summary_due)
        return min(moments, default=None)

    def say(self, said: Line, fields: Mapping[str, Any], at: float) -> None:
        """One line; `fields` are those of its event, and `at` seconds since the epoch."""
        self._written.write(said, fields, at)

    def say_lost(self, count: int) -> None:
        """Lines were dropped."""
        text = f"{plural(count, 'line')} lost: nothing read them in time"
        self.say(Line(WARNING, text), {"event": "lines_lost", "count": count}, time.time())

    def tell(self, event: Any, at: float | None = None) -> None:
        """Take note of an event, which has happened at that second since the epoch, or now."""
        at = time.time() if at is None else at
        self.catch_up()
        match event:
            case events.JobsSettled():
                self.settled(event.completed, event.failed)
            case events.JobStarted():
                due = time.monotonic() + self._started_seconds
                self._started[event.id] = due, event
                self.catch_up()
            case events.JobDescribed():
                self._describe(event)
            case events.JobCompleted():
                if self._started.pop(event.id, None) is None:
                    self._say(event, at)
            case events.JobFailed() | events.JobPostponed() | events.JobParked():
                self._started.pop(event.id, None)
                self._say(event, at)
            case events.WorkerStopped():
                self._started.clear()
                self._completed, self._summary_due = 0, None
                self._say(event, at)
            case _:
                self._say(event, at)

    def catch_up(self) -> None:
        """Say what is due by now."""
        now = time.monotonic()
        for id, (due, event) in list(self._started.items()):
            if due <= now:
                del self._started[id]
                self._say(event, time.time())
        if self._summary_due is not None and self._summary_due <= now:
            self._sum_up()

    def settled(self, completed: int, failed: int) -> None:
        """Some jobs have ended."""
        self._completed += completed
        if self._completed and self._summary_due is None:
            self._summary_due = time.monotonic() + self._summary_seconds

    def _sum_up(self) -> None:
        text = f"completed {plural(self._completed, 'job')}"
        if self._summary_seconds == SUMMARY_SECONDS:
            text += " in the last minute"
        fields = {"completed": self._completed, "seconds": self._summary_seconds}
        self._completed, self._summary_due = 0, None
        self.say(Line(INFO, text), {"event": "jobs_completed", **fields}, time.time())

    def _say(self, event: Any, at: float) -> None:
        """What there is to say of an event."""
        called = self._described.get(getattr(event, "id", 0), "")
        said = line(event, called)
        if said is None:
            return
        fields = self._written.fields(event)
        self.say(said, {**fields, "description": called} if called else fields, at)
        if isinstance(event, events.WorkerStarted) and not event.names:
            then = UNTIL_THEN if event.watches else RESTART
            self.say(Line(INFO, f"{NO_JOBS}{then}"), {"event": "no_jobs"}, at)

    def _describe(self, event: events.JobDescribed) -> None:
        self._described[event.id] = event.description
        if len(self._described) > MAX_DESCRIBED:
            del self._described[next(iter(self._described))]
