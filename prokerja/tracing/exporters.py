"""Where our spans go, as OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_* say."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from prokerja.errors import BadOption
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

WHICH = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP, GRPC = "otlp_proto_http", "otlp_proto_grpc"


def exporters() -> Iterator[SpanExporter]:
    """Each that is asked for; raises BadOption for one that is not installed."""
    for word in (os.environ.get(WHICH) or "otlp").split(","):
        name = word.strip()
        if name == "otlp":
            protocol = next(filter(None, map(os.environ.get, PROTOCOLS)), "")
            name = GRPC if protocol == "grpc" else HTTP
        if name == HTTP:
            yield OTLPSpanExporter()
        elif name == "console":
            yield ConsoleSpanExporter(out=sys.stderr)
        elif name != "none":
            yield _installed(name)


def _installed(name: str) -> SpanExporter:
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    for one in found:
        exporter: SpanExporter = one.load()()
        return exporter
    raise BadOption(
        f"{WHICH}: there is no exporter {quoted(name)}; install its package, or unset it"
    )
