"""Who makes spans and sends them: the program's own tracer provider, or ours.

Ours is set up by the standard OTEL_* environment variables, and sends in the background.
"""

from __future__ import annotations

import atexit
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from prokerja import signal_masks
from prokerja.errors import BadOption, ProkerjaError
from prokerja.tracing.complaints import Complaints
from prokerja.tracing.exporters import exporters
from prokerja.tracing.ids import Ids

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "prokerja"
CLOSE_SECONDS = 2.0
"""For which a process that ends waits until its last spans are sent."""
DELAY = "OTEL_BSP_SCHEDULE_DELAY"
DELAY_MILLISECONDS = 1000
"""For which spans are gathered, unless that variable says how long: what is killed loses those."""


class OwnProvider:
    """Sends in threads that take no signals, so that those reach the thread they are meant for."""

    def __init__(self) -> None:
        self.ids = Ids()
        self.complaints = Complaints()
        self.provider = TracerProvider(
            resource=_resource(), id_generator=self.ids, shutdown_on_exit=False
        )
        delay = None if os.environ.get(DELAY) else DELAY_MILLISECONDS
        with signal_masks.blocked():
            for exporter in exporters():
                processor = BatchSpanProcessor(exporter, schedule_delay_millis=delay)
                self.provider.add_span_processor(processor)
        self.prepare()
        self.complaints.listen()
        atexit.register(self.close)

    def prepare(self) -> None:
        """Start what closes it: a process that ends can start no thread any more."""
        self.process = os.getpid()
        self._closing, self._closed = threading.Event(), threading.Event()
        with signal_masks.blocked():
            threading.Thread(target=self._close, name="prokerja-tracing", daemon=True).start()

    def close(self) -> None:
        """Send what is left, for CLOSE_SECONDS at most; later spans are not sent."""
        if os.getpid() != self.process or self._closed.is_set():
            return
        self._closing.set()
        if not self._closed.wait(CLOSE_SECONDS):
            self.complaints.complain(f"the last spans were not sent within {CLOSE_SECONDS:g} s")
            self._closed.set()

    def _close(self) -> None:
        self._closing.wait()
        self.provider.shutdown()
        self._closed.set()


_own: OwnProvider | None = None
_making = threading.Lock()


def own() -> OwnProvider:
    """Ours, made when it is first asked for; raises ProkerjaError if it cannot be set up."""
    global _own  # noqa: PLW0603  one for each process
    if _own is None:
        with _making:
            _own = _own or _made()
    if _own.process != os.getpid():  # a fork has the processors, without what closes them
        _own.prepare()
    return _own


def _made() -> OwnProvider:
    try:
        return OwnProvider()
    except ProkerjaError:
        raise
    except Exception as error:  # noqa: BLE001  each library has its own
        raise BadOption(f"tracing cannot be set up: {error}; check the OTEL_* variables") from None


def has_other() -> bool:
    """Whether the program has set a tracer provider of its own."""
    provider = trace.get_tracer_provider()
    if _own is not None and provider is _own.provider:
        return False
    return not isinstance(provider, trace.ProxyTracerProvider)


def tracer() -> trace.Tracer:
    """What makes our spans; raises ProkerjaError if ours cannot be set up."""
    return _tracer_of(trace.get_tracer_provider() if has_other() else own().provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: trace.TracerProvider) -> trace.Tracer:
    """Made once: making one changes the process's filters of warnings, for a moment."""
    return provider.get_tracer(NAME)


def close() -> None:
    """Send the last spans, if ours has any."""
    if _own is not None:
        _own.close()


def complain_to(tell: Callable[[str], None]) -> None:
    """Tell what goes wrong with sending to this function, not to stderr."""
    own().complaints.tell = tell


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: NAME}))
    return found
