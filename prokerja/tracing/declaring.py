"""The span of a declaration: its context is kept with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from prokerja.model.declaration import Conditions, Ids
from prokerja.tracing import context, conventions
from prokerja.tracing.provider import tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from opentelemetry.trace import Span

    from prokerja.model.declaration import Declaration


def declare_traced(
    declarations: Iterable[Declaration],
    declare: Callable[[Iterable[Declaration]], range | Ids],
) -> range | Ids:
    """Declare these in one span, and keep its context with each of them.

    It is a child of the current span, or of that which TRACEPARENT names. Raises what `declare`
    does.
    """
    known = declarations if isinstance(declarations, (tuple, list)) else ()
    lanes = _Lanes(known)
    span = tracer().start_span(
        lanes.span_name, context.parent(), SpanKind.PRODUCER, lanes.attributes
    )
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            ids = declare(_marked(declarations, lanes))
        except BaseException as error:  # whose message may be of the payload
            kind = type(error).__name__
            span.set_attribute(conventions.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))
            raise
        _describe(span, lanes, ids, single=len(known) == 1)
        return ids


def follow_ups_traced(
    declarations: Sequence[Declaration], attempt: Span, at: int
) -> tuple[Declaration, ...]:
    """What a job has declared, with the context of a span of its own, below the attempt's.

    `at` is when, in ns since the epoch.
    """
    lanes = _Lanes(declarations)
    span = tracer().start_span(
        lanes.span_name, trace.set_span_in_context(attempt), SpanKind.PRODUCER, lanes.attributes,
        start_time=at,
    )  # fmt: skip
    if len(declarations) > 1:
        span.set_attribute(conventions.COUNT, len(declarations))
    with trace.use_span(span):
        marked = tuple(_marked(declarations, lanes))
    span.end(at)
    return marked


class _Lanes:
    """The queues and the names of what is declared, as far as they are met."""

    def __init__(self, declarations: Iterable[Declaration]) -> None:
        self._queues: set[str] = set()
        self._names: set[str] = set()
        for one in declarations:
            self.meet(one)

    def meet(self, declaration: Declaration) -> None:
        """One more."""
        self._queues.add(declaration.lane.queue)
        self._names.add(declaration.lane.name)

    @property
    def span_name(self) -> str:
        return conventions.span_name(conventions.DECLARE, self._queue)

    @property
    def attributes(self) -> dict[str, str]:
        """What is true of all of them."""
        name = next(iter(self._names)) if len(self._names) == 1 else None
        return conventions.attributes(conventions.DECLARE, "send", self._queue, name)

    @property
    def _queue(self) -> str | None:
        return next(iter(self._queues)) if len(self._queues) == 1 else None


def _marked(declarations: Iterable[Declaration], lanes: _Lanes) -> Iterable[Declaration]:
    """The same with the context of the current span; a tuple stays one."""
    text = context.text_of()
    if text is None:
        return declarations
    mark = partial(_mark, text)
    if isinstance(declarations, tuple):
        return tuple(map(mark, declarations))
    return _met(map(mark, declarations), lanes)


def _mark(text: str, declaration: Declaration) -> Declaration:
    conditions = declaration.conditions or Conditions()
    return declaration._replace(conditions=conditions._replace(trace=text))


def _met(declarations: Iterable[Declaration], lanes: _Lanes) -> Iterator[Declaration]:
    for one in declarations:
        lanes.meet(one)
        yield one


def _describe(span: Span, lanes: _Lanes, ids: range | Ids, *, single: bool) -> None:
    """Say what is known once they are declared."""
    span.update_name(lanes.span_name)
    span.set_attributes(lanes.attributes)
    if single:
        span.set_attributes(conventions.of_id(ids[0]))
    else:
        span.set_attribute(conventions.COUNT, len(ids))
    if isinstance(ids, Ids) and ids.coalesced:
        span.set_attribute(conventions.COALESCED, len(ids.coalesced))
