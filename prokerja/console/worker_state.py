"""What a worker is at, when somebody asks, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        job = f"job {one.id} {one.name}, attempt {one.attempt}, for {human(one.seconds)}"
        waiting = f", {one.waiting:,} more waiting" if one.waiting else ""
        runs = "nothing" if one.id is None else job
        yield f"realizer {one.pid}{_memory(one.memory)}: runs {runs}{waiting}"
    yield from state.notes
    if state.due_in is not None:
        yield f"the next job is due in {human(max(0.0, state.due_in))}"


def _memory(size: int | None) -> str:
    return "" if size is None else f", {size / 2**20:,.0f} MiB"
