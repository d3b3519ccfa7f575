"""Metrics as Prometheus reads them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from prokerja.flow.pauses import ALL_QUEUES, pause_of
from prokerja.model.metrics import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prokerja.model.metrics import Bucket, Metrics
    from prokerja.model.summary import Summary


class _Told(Collector):
    """Tells what was found in a queue."""

    def __init__(self, found: Metrics) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Each metric, with a value for each set of labels."""
        summary = self._found.summary
        jobs = GaugeMetricFamily("prokerja_jobs", "Jobs by status.", labels=("queue", "status"))
        oldest = GaugeMetricFamily(
            "prokerja_oldest_due_seconds",
            "For how long the longest-waiting due job has been due; 0 if none is.",
            labels=("queue",),
        )
        for tally in summary.queues:
            for status, count in tally.counts().items():
                jobs.add_metric((tally.queue, status), count)
            since = summary.due_since.get(tally.queue, summary.now)
            oldest.add_metric((tally.queue,), summary.now - since)
        yield from (jobs, oldest, _paused(summary), *_attempts(self._found.durations))
        realizers = sum(worker.realizers for worker in summary.workers)
        for name, what, value in (
            ("workers", "Workers that are alive.", len(summary.workers)),
            ("realizers", "Realizers of those workers.", realizers),
            ("store_bytes", "Size of the database file.", self._found.store_bytes),
            ("log_bytes", "Size of its write-ahead log.", self._found.log_bytes),
        ):
            yield GaugeMetricFamily(f"prokerja_{name}", what, value=value)


def exposition(found: Metrics) -> str:
    """The text format."""
    return generate_latest(_registry(found)).decode()


def write(found: Metrics, path: str) -> None:
    """The same, in a file that is there whole or not at all; raises OSError."""
    write_to_textfile(path, _registry(found))


def _registry(found: Metrics) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Told(found))
    return registry


def _paused(summary: Summary) -> Metric:
    """Which queues nothing is claimed of."""
    paused = GaugeMetricFamily(
        "prokerja_queue_paused", "1 if the queue is paused, 0 if not.", labels=("queue",)
    )
    rules = {rule.name: rule for rule in summary.rules}
    known = {tally.queue for tally in summary.queues} | rules.keys()
    for queue in sorted(known - {ALL_QUEUES}):
        paused.add_metric((queue,), pause_of(rules, queue, summary.now) is not None)
    return paused


def _attempts(durations: Sequence[Bucket]) -> Iterable[Metric]:
    """How many attempts have ended, and how long they took."""
    ended = CounterMetricFamily(
        "prokerja_attempts", "Attempts that have ended.", labels=("queue", "job", "outcome")
    )
    took = HistogramMetricFamily(
        "prokerja_attempt_duration_seconds", "How long attempts took.", labels=("queue", "job")
    )
    for labels, rows in itertools.groupby(durations, lambda row: (row.queue, row.name)):
        of_job = list(rows)
        for outcome in ("completed", "failed"):
            count = sum(row.attempts for row in of_job if row.completed == (outcome == "completed"))
            ended.add_metric((*labels, outcome), count)
        took.add_metric(labels, _buckets(of_job), sum(row.seconds for row in of_job))
    return ended, took


def _buckets(rows: Sequence[Bucket]) -> list[tuple[str, float]]:
    """How many took so long at the most, for each bound."""
    counts = [sum(row.attempts for row in rows if row.up_to <= bound) for bound in BOUNDS]
    return list(zip([*map(str, BOUNDS[:-1]), "+Inf"], counts, strict=True))
