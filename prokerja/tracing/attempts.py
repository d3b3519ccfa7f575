"""The span of an attempt.

It is made by the realizer that runs the job, so that the job's own spans are its children. Where a
realizer dies in the middle of one, its supervisor makes it instead, with the same ids.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from prokerja.tracing import conventions
from prokerja.tracing.context import context_of
from prokerja.tracing.ids import ids_of_attempt
from prokerja.tracing.provider import has_other, own, tracer
from prokerja.verdicts import Completed, Failed, Parked, Postponed

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from prokerja.model.claim import Traced
    from prokerja.verdicts import Ended

OUTCOMES = {Completed: "completed", Failed: "failed", Postponed: "later", Parked: "awaiting"}
UNKNOWN = "_OTHER"
"""The type of an error that has none."""


class Attempts:
    """Those of one worker; `seed` is random, and its own."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def begin(self, token: int, id: int, attempt: int, name: str, traced: Traced, at: int) -> Span:
        """A span that began `at`, in ns since the epoch.

        The conventions want a link to the declaration's context, and allow to make it the parent
        where a span is about one message.
        """
        parent = context_of(traced.context)
        origin = trace.get_current_span(parent).get_span_context()
        chosen = nullcontext() if has_other() else own().ids.chosen(*self._ids(token, id))
        with chosen:
            return tracer().start_span(
                conventions.span_name(conventions.REALIZE, traced.queue),
                parent,
                SpanKind.CONSUMER,
                {
                    **conventions.attributes(conventions.REALIZE, "process", traced.queue, name),
                    **conventions.of_id(id),
                    conventions.ATTEMPT: attempt,
                },
                [Link(origin)] if origin.is_valid else [],
                at,
            )

    def _ids(self, token: int, id: int) -> tuple[int, int]:
        return ids_of_attempt(self._seed, token, id)


def end(span: Span, ended: Ended, at: int) -> None:
    """The attempt has ended so, in ns since the epoch."""
    span.set_attribute(conventions.OUTCOME, OUTCOMES.get(type(ended), UNKNOWN))
    if isinstance(ended, Failed):
        kind = error_type(ended)
        fail(span, kind, ended.error)
        if ended.exit_code is not None:
            span.set_attribute(conventions.EXIT_CODE, ended.exit_code)
        if ended.traceback:
            details = {"type": kind, "message": ended.error, "stacktrace": ended.traceback}
            event = {f"exception.{key}": value for key, value in details.items()}
            span.add_event("exception", event, at)
    span.end(at)


def fail(span: Span, kind: str, error: str) -> None:
    """Say what went wrong: its kind, of which there are few, and all of it."""
    span.set_attribute(conventions.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, error))


def error_type(failed: Failed) -> str:
    """The class of the exception; `exit` for a command."""
    if failed.exit_code is not None:
        return "exit"
    kind = failed.error.partition(":")[0]
    return kind if failed.traceback is not None and kind.isidentifier() else UNKNOWN
