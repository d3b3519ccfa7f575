"""Spans of programs that declare, with a tracer provider of their own or with ours."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from prokerja import AsyncQueue, Job, Queue
from prokerja.errors import BadPayload
from tests.harness.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.harness.home import Home


@dataclass
class Note(Job):
    text: str = ""

    def handle(self) -> None: ...


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """What a program has set, and prokerja is to use."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setenv("PROKERJA_TRACING", "on")
    return provider


@pytest.fixture
def spans(provider: TracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def queue(provider: TracerProvider, tmp_path: Path) -> Iterator[Queue]:
    with Queue(tmp_path / "queue.sqlite3") as queue:
        yield queue


def kept(queue: Queue) -> dict[int, Any]:
    """The contexts that the file has, by id."""
    with closing(sqlite3.connect(queue.path)) as connection:
        rows = connection.execute("SELECT declaration, context FROM trace").fetchall()
    return {id: json.loads(text) for id, text in rows}


def parent_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{format_trace_id(span.context.trace_id)}-{format_span_id(span.context.span_id)}-"


def test_a_declaration_has_a_span_whose_context_is_kept(
    queue: Queue, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer("mine").start_as_current_span("request") as request:
        id = queue.declare(Note("rosebud"), queue="mail")
    [declared, _] = spans.get_finished_spans()
    assert (declared.name, declared.kind) == ("declare mail", SpanKind.PRODUCER)
    assert declared.parent is not None
    assert declared.parent == request.get_span_context()
    assert kept(queue)[id]["traceparent"].startswith(parent_of(declared))
    assert "rosebud" not in declared.to_json()


def test_many_declarations_have_one_span(queue: Queue, spans: InMemorySpanExporter) -> None:
    ids = queue.declare_many(Note(str(n)) for n in range(3))
    [declared] = spans.get_finished_spans()
    assert declared.attributes is not None
    assert declared.name == "declare default"
    assert declared.attributes["messaging.batch.message_count"] == 3
    assert declared.attributes["prokerja.job.name"] == "note"
    assert list(kept(queue)) == list(ids)


def test_what_goes_through_a_connection_of_the_programs_own_is_in_the_trace_too(
    queue: Queue, spans: InMemorySpanExporter
) -> None:
    with closing(sqlite3.connect(queue.path)) as connection, connection:
        id = queue.declare(Note(), connection=connection)
    assert list(kept(queue)) == [id]


def test_a_refusal_is_told_by_its_kind_alone(queue: Queue, spans: InMemorySpanExporter) -> None:
    jobs: list[Any] = [Note("fine"), Note(b"rosebud")]  # type: ignore[arg-type]
    with pytest.raises(BadPayload):
        queue.declare_many(iter(jobs))
    [declared] = spans.get_finished_spans()
    assert declared.attributes is not None
    assert declared.attributes["error.type"] == "BadPayload"
    assert not declared.status.is_ok
    assert "rosebud" not in declared.to_json()


def test_what_is_not_sampled_is_not_sampled_later_either(
    queue: Queue, provider: TracerProvider
) -> None:
    provider.sampler = ALWAYS_OFF
    id = queue.declare(Note())
    assert kept(queue)[id]["traceparent"].endswith(("-00", "-02"))


def test_a_task_that_declares_is_the_parent(queue: Queue, spans: InMemorySpanExporter) -> None:
    async def main() -> None:
        async with AsyncQueue(queue) as inside:
            with trace.get_tracer("mine").start_as_current_span("task"):
                await inside.declare(Note())

    asyncio.run(main())
    [declared, task] = spans.get_finished_spans()
    assert declared.parent == task.context


def test_without_tracing_nothing_is_kept_and_no_span_is_made(
    tmp_path: Path, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_TRACING", "off")
    with Queue(tmp_path / "other.sqlite3") as queue:
        queue.declare(Note())
        assert kept(queue) == {}
    assert spans.get_finished_spans() == ()


def test_a_tracestate_that_is_too_long_is_left_out(
    queue: Queue, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'1' * 32}-{'2' * 16}-01")
    for length, left in ((100, {"tracestate"}), (240, set())):
        state = ",".join(f"v{n}={'x' * length}" for n in range(3))
        monkeypatch.setenv("TRACESTATE", state)
        id = queue.declare(Note())
        found = kept(queue)[id]
        assert found["traceparent"].startswith(f"00-{'1' * 32}-")
        assert found.keys() - {"traceparent"} == left


PROGRAM = """
import sys
sys.path.insert(0, {jobs!r})
import random, prokerja, note
def declare():
    random.seed(1)
    return prokerja.declare(note.Note())
"""
NOTE = """
from dataclasses import dataclass
from prokerja import Job

@dataclass
class Note(Job):
    def handle(self): pass
"""


@pytest.mark.parametrize(
    ("ending", "count"),
    [("declare(); declare()", 2), ("import os; declare(); os.fork() and os.wait(); declare()", 3),
     ("prokerja.declare_at_exit(note.Note())", 1)],
)  # fmt: skip
def test_a_program_without_a_provider_sends_its_spans_when_it_ends(
    home: Home, ending: str, count: int
) -> None:
    home.write("note.py", NOTE)
    with Collector() as collector:
        home.in_environment(
            {"PROKERJA_TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
             "OTEL_SERVICE_NAME": "shop"}
        )  # fmt: skip
        program = home.python(PROGRAM.format(jobs=str(home.jobs)) + ending)
        program.communicate(timeout=30)
        assert program.returncode == 0
    assert len(collector.spans) == len({span.id for span in collector.spans}) == count
    assert {span.resource["service.name"] for span in collector.spans} == {"shop"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "smoke"},
         "OTEL_TRACES_EXPORTER: there is no exporter 'smoke'; install its package, or unset it"),
        ({"PROKERJA_TRACING": "yes"}, "tracing: 'yes' is neither on nor off; write one of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_up_is_said_before_anything_is_declared(
    home: Home, variables: dict[str, str], told: str
) -> None:
    home.in_environment({"PROKERJA_TRACING": "on", **variables})
    for words in (["declare:shell", "true"], ["realization:start", "--until-empty"]):
        assert home(*words) == (2, "", f"prokerja: {told}\n")
