"""OpenTelemetry: a span for each declaration and for each attempt, in one trace.

Whoever imports a module of this package needs the extra `otel`: ProkerjaError says so.
"""

from prokerja.extras import insist_on

insist_on("opentelemetry.exporter.otlp.proto.http", "otel", "tracing", "OpenTelemetry")
