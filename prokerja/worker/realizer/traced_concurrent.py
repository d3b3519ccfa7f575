"""A realizer that runs several jobs at once, and whose attempts have spans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import context, trace

from prokerja.tracing import attempts
from prokerja.tracing.context import variables_of
from prokerja.tracing.declaring import follow_ups_traced
from prokerja.worker.realizer.concurrent import ConcurrentRealizer
from prokerja.worker.realizer.traced import TracedRealizer

if TYPE_CHECKING:
    from typing import Any

    from opentelemetry.trace import Span

    from prokerja.model.declaration import Declaration
    from prokerja.verdicts import Ended
    from prokerja.worker.realizer.attempts import Attempt


class TracedConcurrentRealizer(ConcurrentRealizer, TracedRealizer):
    """Each async job runs in the context of its span; plain ones as in any such realizer."""

    def __init__(self, *given: Any) -> None:
        """How many async jobs at once, and what `TracedRealizer` is given."""
        super().__init__(*given)
        self._spans: dict[int, Span] = {}
        """Those of the jobs in flight, by sequence number."""

    def begin(self, attempt: Attempt) -> Any:
        """Make its job, and call it; returns what `handle()` returned."""
        extra = attempt.extra
        if extra is not None and extra.traced is not None:
            began = int(self._epoch * 1e9) + attempt.began
            given = *attempt.claim, attempt.number, attempt.name, extra.traced, began
            self._spans[attempt.sequence] = span = self._attempts.begin(*given)
            here = trace.set_span_in_context(span)
            attempt.variables = variables_of(here)
            context.attach(here)  # of its task, which ends with it
        return super().begin(attempt)

    def _declared(self, job: Any) -> tuple[Declaration, ...]:
        """What a job has declared, as a part of its trace."""
        made = self._untraced(job)
        return follow_ups_traced(made, trace.get_current_span(), time.time_ns()) if made else ()

    def _note(self, attempt: Attempt, ended: Ended, times: tuple[float, float], now: int) -> None:
        super()._note(attempt, ended, times, now)
        if (span := self._spans.get(attempt.sequence)) is not None:
            attempts.end(span, ended, int(self._epoch * 1e9) + now)

    def _remove(self, attempt: Attempt) -> None:
        super()._remove(attempt)
        self._spans.pop(attempt.sequence, None)
