"""A realizer whose attempts have spans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import context, trace

from prokerja.tracing import attempts, provider
from prokerja.tracing.context import variables_of
from prokerja.tracing.declaring import follow_ups_traced
from prokerja.worker.realizer.run import Realizer
from prokerja.worker.wire.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from opentelemetry.trace import Span

    from prokerja.model.declaration import Declaration
    from prokerja.spec import JobSpec
    from prokerja.verdicts import Ended
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Batch
    from prokerja.worker.wire.shared_page import SharedPage


class TracedRealizer(Realizer):
    """Runs each job in its attempt's span, so that spans of the job's own are that one's children.

    They are made by the tracer provider that the job files have set, or by ours.
    """

    def __init__(  # noqa: PLR0917  those of any realizer, and one more
        self,
        seed: str,
        page: SharedPage,
        channel: Channel[Batch],
        journal: Journal,
        classes: Mapping[str, Callable[..., Any]],
        specs: Mapping[str, JobSpec],
        output: OutputCapture,
        follow_ups: Callable[[Any], tuple[Declaration, ...]],
    ) -> None:
        """`seed` is that of the ids of attempts' spans."""
        self._ends = Ends(journal)
        self._untraced = follow_ups
        self._span: Span = trace.INVALID_SPAN
        super().__init__(page, channel, self._ends, classes, specs, output, self._declared)
        self._attempts = attempts.Attempts(seed)
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
        self._span, self._ends.ended = span, None
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

    def _declared(self, job: Any) -> tuple[Declaration, ...]:
        """What a job has declared, as a part of its trace."""
        made = self._untraced(job)
        return follow_ups_traced(made, self._span, time.time_ns()) if made else ()

    def _flush(self) -> None:
        provider.close()
        self._outbox.send_reportable()
        super()._flush()

    def _complain(self, what: str) -> None:
        self._outbox.tracing_errors.append(what)
        self._outbox.send_reportable()


class Ends(Journal):
    """Also keeps how the last attempt has ended."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.ended: Ended | None = None
        """Of the attempt whose span was last begun, if it has ended."""
        self.add = self._add
        self.write = journal.write  # type: ignore[method-assign]

    def _add(self, entry: tuple[Claim, Ended]) -> None:
        _, self.ended = entry
        self._journal.add(entry)
