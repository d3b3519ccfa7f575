"""What spans and their attributes are called.

By OpenTelemetry's semantic conventions for messaging spans,
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/: a queue is the destination,
declaring is `send`, an attempt is `process`. What those have no name for begins with `prokerja.`.
"""

from __future__ import annotations

from typing import Any

SYSTEM = "prokerja"
DECLARE, REALIZE = "declare", "realize"
"""The names of the two operations."""
COUNT = "messaging.batch.message_count"
ERROR_TYPE = "error.type"
COALESCED = "prokerja.coalesced"
"""For how many of the declarations others stand that were open already."""
ATTEMPT = "prokerja.attempt"
OUTCOME = "prokerja.outcome"
EXIT_CODE = "process.exit.code"


def span_name(operation: str, queue: str | None) -> str:
    """A span's; `queue` is None for several."""
    return operation if queue is None else f"{operation} {queue}"


def attributes(operation: str, kind: str, queue: str | None, job: str | None) -> dict[str, str]:
    """Those of every span; None for what is not the same for all that it is about."""
    found = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
        "prokerja.job.name": job,
    }
    return {key: value for key, value in found.items() if value is not None}


def of_id(id: int) -> dict[str, Any]:
    """Those of a span that is about one declaration."""
    return {"messaging.message.id": str(id), "prokerja.job.id": id}
