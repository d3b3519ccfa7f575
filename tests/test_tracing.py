"""Spans of declarations and attempts, in real processes, sent to a real receiver."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.collector import Collector
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

JOBS = """
    import os, sys
    from dataclasses import dataclass
    from opentelemetry import trace
    from prokerja import GiveUp, Job, Later

    @dataclass
    class Greet(Job):
        secret: str = ""
        queue = "mail"
        def handle(self):
            print("hello")
            with trace.get_tracer("mine").start_as_current_span("inner"):
                self.declare(Last())

    @dataclass
    class Last(Job):
        def handle(self): pass

    @dataclass
    class Fail(Job):
        retries = 1
        retry_after = 0
        def handle(self):
            raise ValueError("no such place")

    @dataclass
    class Hang(Job):
        timeout = 0.2
        def handle(self):
            import time
            with trace.get_tracer("mine").start_as_current_span("inner"):
                time.sleep(60)

    @dataclass
    class Stay(Job):
        def handle(self):
            print("here", flush=True)
            import time
            time.sleep(60)

    @dataclass
    class Fork(Job):
        def handle(self):
            if os.fork():
                os.wait()

    @dataclass
    class Ask(Job):
        retry_after = 0
        def handle(self):
            if not os.path.exists("asked"):
                open("asked", "w").close()
                raise Later(0)
            raise GiveUp("nobody is there")

    @dataclass
    class Hooked(Job):
        def handle(self):
            self.declare(Last())
        def cleanup(self): pass

    @dataclass
    class Die(Job):
        def handle(self):
            os.kill(os.getpid(), 9)
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"TRACEPARENT": f"00-{TRACE}-{SPAN}-01", "TRACESTATE": "vendor=one"}


@pytest.fixture
def collector(home: Home) -> Iterator[Collector]:
    home.write("traced.py", JOBS)
    with Collector() as collector:
        home.in_environment(
            {"PROKERJA_TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        )
        yield collector


def test_one_trace_goes_from_a_shell_to_the_last_job(home: Home, collector: Collector) -> None:
    told = home("declare:job", "greet", "secret=rosebud", environment=PARENT)
    assert (told.code, told.out, told.err) == (0, "1\n", "")
    home.work()
    [declared] = collector.named("declare mail")
    [greeted] = collector.named("realize mail")
    [inner] = collector.named("inner")
    [followed] = collector.named("declare default")
    [last] = collector.named("realize default")
    chain = [declared, greeted, followed, last]
    assert {span.trace for span in [*chain, inner]} == {TRACE}
    assert [span.parent for span in chain] == [SPAN, *(span.id for span in chain[:-1])]
    assert inner.parent == greeted.id
    assert [span.kind for span in chain] == ["producer", "consumer"] * 2
    assert (greeted.links, last.links) == ([declared.id], [followed.id])
    assert declared.attributes == {
        "messaging.system": "prokerja",
        "messaging.operation.name": "declare",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": "1",
        "prokerja.job.name": "greet",
        "prokerja.job.id": 1,
    }
    assert greeted.attributes == {
        **declared.attributes,
        "messaging.operation.name": "realize",
        "messaging.operation.type": "process",
        "prokerja.attempt": 1,
        "prokerja.outcome": "completed",
    }
    assert declared.resource["service.name"] == "prokerja"
    assert "rosebud" not in str(collector.spans)
    assert home.cli("output", 1) == "hello\n"


def test_each_attempt_has_a_span_with_its_error(home: Home, collector: Collector) -> None:
    home.cli("declare:job", "fail")
    home.work()
    [declared] = collector.named("declare default")
    attempts = collector.named("realize default")
    assert [span.attributes["prokerja.attempt"] for span in attempts] == [1, 2]
    assert len({span.id for span in attempts}) == 2
    for span in attempts:
        assert (span.trace, span.parent) == (declared.trace, declared.id)
        assert span.error == "ValueError: no such place"
        assert span.attributes["error.type"] == "ValueError"
        assert span.attributes["prokerja.outcome"] == "failed"
        [event] = span.events
        assert "traced.py" in event["exception.stacktrace"]


def test_an_attempt_whose_process_dies_has_a_span(home: Home, collector: Collector) -> None:
    home.cli("declare:job", "die")
    home.cli("declare:job", "hang")
    home.work()
    declared, other = collector.named("declare default")
    died, hung = collector.named("realize default")
    [inner] = collector.named("inner")
    assert (died.parent, hung.parent) == (declared.id, other.id)
    assert (died.attributes["error.type"], hung.attributes["error.type"]) == ("died", "timeout")
    assert died.error is not None
    assert "KILL" in died.error
    assert hung.error == "ran longer than 0.2 s"
    assert hung.seconds >= 0.2
    assert inner.parent == hung.id


def test_an_attempt_that_goes_back_with_its_worker_has_a_span(
    home: Home, collector: Collector
) -> None:
    [id] = home.declare("stay")
    worker = home.worker("--grace", "0.1").ready()
    wait_until(lambda: home.running(id))
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    [left] = collector.named("realize default")
    assert left.attributes["prokerja.outcome"] == "interrupted"
    assert left.attributes["error.type"] == "interrupted"


@pytest.mark.parametrize(
    ("name", "outcomes"), [("fork", ["completed"]), ("ask", ["later", "failed"])]
)
def test_each_run_has_one_span_that_says_what_came_of_it(
    home: Home, collector: Collector, name: str, outcomes: list[str]
) -> None:
    home.cli("declare:job", name)
    home.work()
    runs = collector.named("realize default")
    assert [span.attributes["prokerja.outcome"] for span in runs] == outcomes
    for span in runs:
        failed = span.attributes["prokerja.outcome"] == "failed"
        assert span.error == ("nobody is there" if failed else None)
        assert span.attributes.get("error.type") == ("_OTHER" if failed else None)


def test_hooks_make_no_second_span(home: Home, collector: Collector) -> None:
    home.cli("declare:job", "hooked")
    home.work()
    _, followed = collector.named("declare default")
    ran, last = collector.named("realize default")
    assert (followed.parent, last.parent) == (ran.id, followed.id)


def test_a_command_is_told_where_it_is(home: Home, collector: Collector) -> None:
    home.cli("declare:shell", "--", "sh", "-c", "echo $TRACEPARENT; exit 3")
    home.work()
    [ran] = collector.named("realize default")
    assert home.cli("output", 1).startswith(f"00-{ran.trace}-{ran.id}-")
    assert (ran.attributes["error.type"], ran.attributes["process.exit.code"]) == ("exit", 3)


def test_what_was_declared_without_tracing_has_a_trace_of_its_own(
    home: Home, collector: Collector
) -> None:
    home.declare_job("last")
    home.declare_job("last")
    home.work()
    first, second = collector.named("realize default")
    assert first.trace != second.trace
    assert (first.parent, first.links) == ("", [])


def test_many_at_once_share_a_span(home: Home, collector: Collector) -> None:
    lines = '{"job": "last"}\n' * 501 + '{"job": "last", "label": "x"}\n'
    assert home("declare:batch", stdin=lines).out == "502 1 502\n"
    home.work()
    [declared] = collector.named("declare default")
    assert declared.attributes["messaging.batch.message_count"] == 502
    attempts = collector.named("realize default")
    assert len({span.id for span in attempts}) == 502
    assert {span.parent for span in attempts} == {declared.id}


def test_a_collector_that_is_not_there_holds_nothing_up_for_long(home: Home) -> None:
    home.write("traced.py", JOBS)
    home.in_environment(
        {"PROKERJA_TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    )
    told = home("declare:job", "last")
    assert (told.code, told.out) == (0, "1\n")
    assert told.err.startswith("prokerja: tracing: OpenTelemetry: ")
    assert told.err.count("\n") == 1
    worker = home.work()
    assert home.job(1)["status"] == "completed"
    assert "prokerja: tracing: OpenTelemetry: " in worker.said()
    assert home.cli("output", 1) == ""


def test_nobody_waits_for_a_collector_that_does_not_answer(home: Home) -> None:
    home.write("traced.py", JOBS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = {"ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "TIMEOUT": "600"}
        home.in_environment(
            {"PROKERJA_TRACING": "on"}
            | {f"OTEL_EXPORTER_OTLP_{key}": value for key, value in variables.items()}
        )
        told = home("declare:job", "last")
        complaint = "prokerja: tracing: the last spans were not sent within 2 s\n"
        assert told == (0, "1\n", complaint)
        assert complaint in home.work().said()
    assert home.job(1)["status"] == "completed"


def test_without_tracing_no_process_imports_anything_of_it(home: Home) -> None:
    package = home.path / "path" / "opentelemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it was imported')")
    home.in_environment({"PYTHONPATH": str(package.parent)})
    id = home.run("pass")
    assert home("declare:shell", "true").code == 0
    home.work()
    assert home.statuses([id, id + 1]) == ["completed", "completed"]
    home.in_environment({"PROKERJA_TRACING": "on"})
    assert "it was imported" in home("declare:shell", "true").err


def test_spans_are_sent_while_the_worker_runs(home: Home, collector: Collector) -> None:
    home.worker().ready()
    home.cli("declare:job", "last")
    wait_until(lambda: bool(collector.named("realize default")))


def test_without_the_extra_it_says_what_to_install(home: Home) -> None:
    home.write("traced.py", JOBS)
    home.in_environment({"PROKERJA_TRACING": "on"})
    for words in (["declare:job", "last"], ["realization:start", "--until-empty"]):
        script = (
            "import sys; sys.modules['opentelemetry'] = None\n"
            f"sys.argv[1:] = {words}\n"
            "from prokerja.cli import main; main()"
        )
        told = home.execute([sys.executable, "-c", script])
        assert (told.code, told.out) == (1, "")
        assert told.err == ("prokerja: tracing needs OpenTelemetry: pip install 'prokerja[otel]'\n")
    assert home.report() == [0, 0, 0, 0]


def test_async_jobs_that_run_at_once_have_spans_of_their_own(
    home: Home, collector: Collector
) -> None:
    home.write(
        "both.py",
        """
        import asyncio, os
        from opentelemetry import trace
        from prokerja import Job
        from jobs.traced import Last

        begun = []

        class Both(Job):
            queue = "both"
            def payload(self): return {}
            async def handle(self):
                begun.append(self)
                with trace.get_tracer("mine").start_as_current_span("inner"):
                    while len(begun) < 2:
                        await asyncio.sleep(0.005)
                self.declare(Last())
        """,
    )
    for _ in range(2):
        home.cli("declare:job", "both")
    home.work("--concurrency", 2)
    outer = {span.id: span for span in collector.named("realize both")}
    assert len(outer) == 2
    assert {span.parent for span in collector.named("inner")} == set(outer)
    assert {span.parent for span in collector.named("declare default")} == set(outer)
    assert {span.trace for span in collector.named("realize default")} == {
        span.trace for span in outer.values()
    }
