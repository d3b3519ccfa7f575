"""Where in which trace something happens, as it is handed from process to process.

As text it is a JSON object with `traceparent` and, if there is one, `tracestate`; in an environment
it is TRACEPARENT and TRACESTATE. Both are as W3C Trace Context has them.
"""

from __future__ import annotations

import json
import os

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

PARENT, STATE = "traceparent", "tracestate"
MAX_STATE_CHARACTERS = 512
"""As much of a tracestate as everybody is to hand on; a longer one is left out."""
W3C = TraceContextTextMapPropagator()


def carrier_of(context: Context | None = None) -> dict[str, str]:
    """That context, or the current one, in W3C's words; empty if it is in no trace."""
    carrier: dict[str, str] = {}
    W3C.inject(carrier, context)
    if len(carrier.get(STATE, "")) > MAX_STATE_CHARACTERS:
        del carrier[STATE]
    return carrier


def text_of(context: Context | None = None) -> str | None:
    """That context, or the current one, as text; None if it is in no trace."""
    carrier = carrier_of(context)
    return json.dumps(carrier, separators=(",", ":")) if carrier else None


def context_of(text: str | None) -> Context:
    """The context that a text names; one in no trace for what names none."""
    try:
        carrier = json.loads(text or "{}")
    except ValueError:
        carrier = {}
    return W3C.extract(carrier if isinstance(carrier, dict) else {}, Context())


def variables_of(context: Context) -> dict[str, str]:
    """The environment variables that hand it on to a program."""
    return {key.upper(): value for key, value in carrier_of(context).items()}


def parent() -> Context | None:
    """What a span made here is a child of: the current span, or that of whoever started us.

    None stands for the current one.
    """
    if trace.get_current_span().get_span_context().is_valid:
        return None
    found = {key: os.environ[key.upper()] for key in (PARENT, STATE) if key.upper() in os.environ}
    return W3C.extract(found) if found else None
