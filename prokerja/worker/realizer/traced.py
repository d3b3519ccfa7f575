"""A realizer whose attempts have spans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import context, trace

from prokerja.tracing import attempts, provider
from prokerja.tracing.context import variables_of
from prokerja.tracing.declaring import follow_ups_traced
from prokerja.verdicts import Completed
from prokerja.worker.realizer.run import Realizer
from prokerja.worker.wire.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from opentelemetry.trace import Span

    from prokerja.spec import JobSpec
    from prokerja.verdicts import Ended
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Batch, Launch


class TracedRealizer(Realizer):
    """Runs each job in its attempt's span, so that spans of the job's own are that one's children.

    They are made by the tracer provider that the job files have set, or by ours.
    """

    def __init__(
        self,
        launch: Launch,
        channel: Channel[Batch],
        journal: Journal,
        classes: Mapping[str, Callable[..., Any]],
        specs: Mapping[str, JobSpec],
        output: OutputCapture,
    ) -> None:
        self._ends = Ends(journal)
        super().__init__(launch, channel, self._ends, classes, specs, output)
        self._attempts = attempts.Attempts(launch.tracing)
        if not provider.has_other():
            trace.set_tracer_provider(provider.own().provider)
            provider.complain_to(self._complain)

    def _realize(
        self, sequence: int, claim: tuple[int, int], name: str, payload: str, began: int
    ) -> int:
        extra = self._running.extra
        if extra is None or extra.traced is None:  # a job that is told of its end
            return super()._realize(sequence, claim, name, payload, began)
        epoch = int(self._epoch * 1e9)
        span = self._attempts.begin(*claim, self._running.number, name, extra.traced, epoch + began)
        here = trace.set_span_in_context(span)
        self._ends.begin(span)
        self._running.variables = variables_of(here)
        token = context.attach(here)
        try:  # what the span took so far is no part of the job
            now = super()._realize(sequence, claim, name, payload, time.monotonic_ns())
        finally:
            context.detach(token)
            self._running.variables = {}
        if self._ends.ended is not None:  # else it goes back, as if it had not begun
            attempts.end(span, self._ends.ended, epoch + now)
        return now

    def _flush(self) -> None:
        provider.close()
        self._outbox.send_reportable()
        super()._flush()

    def _complain(self, what: str) -> None:
        self._outbox.tracing_errors.append(what)
        self._outbox.send_reportable()


class Ends(Journal):
    """Also keeps how the last attempt has ended, and makes its follow-ups a part of its trace."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._span: Span = trace.INVALID_SPAN
        self.ended: Ended | None = None
        """Of the attempt whose span was last begun, if it has ended."""
        self.add = self._add
        self.write = journal.write  # type: ignore[method-assign]

    def begin(self, span: Span) -> None:
        """An attempt begins."""
        self._span, self.ended = span, None

    def _add(self, entry: tuple[Claim, Ended]) -> None:
        _, ended = entry
        # With hooks, an end is written down twice.
        if isinstance(ended, Completed) and ended.follow_ups and ended is not self.ended:
            ended.follow_ups = follow_ups_traced(ended.follow_ups, self._span, time.time_ns())
        self.ended = ended
        self._journal.add(entry)
