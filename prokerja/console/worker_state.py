"""What a worker is at, when somebody asks, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja import sizes
from prokerja.console import plural
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.worker_events import WorkerState


def state_lines(state: WorkerState) -> Iterator[str]:
    """A line for the worker itself, for each realizer, and for what it says."""
    stops = f", stopping: {state.why}" if state.why else ""
    yield (
        f"worker {state.worker}, process {state.pid}, for {human(state.seconds)}"
        f"{_memory(state.memory)}: {plural(state.completed, 'attempt')} completed,"
        f" {state.failed:,} failed, {state.returned:,} put back{stops}"
    )
    for one in state.realizers:
        runs = "; ".join(
            f"job {job.id} {job.name}, attempt {job.attempt}, for {human(job.seconds)}"
            for job in one.running
        )
        waiting = f", {one.waiting:,} more waiting" if one.waiting else ""
        yield f"realizer {one.pid}{_memory(one.memory)}: runs {runs or 'nothing'}{waiting}"
    yield from state.notes
    if state.due_in is not None:
        yield f"the next job is due in {human(max(0.0, state.due_in))}"


def _memory(size: int) -> str:
    return f", {sizes.human(size)}" if size else ""
