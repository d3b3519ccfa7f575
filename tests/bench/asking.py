"""What a question costs when the file keeps millions of jobs."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja import Queue
from prokerja.model.declaration import Status
from prokerja.model.record import Filter
from tests.bench.figures import OURS, Line, at_most
from tests.bench.filling import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.repository.verbs import Repository
    from tests.bench.stage import Stage

WAITING = 10_000
"""Jobs that are not due before tomorrow, so that there is something pending to list."""
TOMORROW = 86_400.0
LIMIT = 20
"""Rows that `report:jobs` shows if not told otherwise."""
REPORT_GOAL, LIST_GOAL = 10.0, 200.0
"""Milliseconds."""


def asking(stage: Stage) -> Iterator[Line]:
    """Milliseconds of the queries behind `report` and `report:jobs`, in one process.

    Each opens the file anew, so that none finds pages in its own cache; opening is not timed.
    """
    path = filled(stage, stage.kept)
    with closing(Queue(path)) as queue:
        queue.declare_many((Noop(n=n) for n in range(WAITING)), delay=TOMORROW)
    questions = dict(_questions())
    figures = stage.take_turns({name: partial(_ask, path, ask) for name, ask in questions.items()})
    rows = f"{stage.kept:,} jobs"
    for name in questions:
        goal = REPORT_GOAL if name == "report" else LIST_GOAL
        what = f"the query behind {name}, {rows}"
        yield Line(f"query-{name}", what, "ms", {OURS: figures[name]}, (at_most(goal),))


def _questions() -> Iterator[tuple[str, Callable[[Repository], object]]]:
    yield "report", lambda repository: repository.summary(None, time.time())
    filters: list[tuple[str, Status | None, str | None, str | None]] = [("", None, None, None)]
    for each in Status:
        filters.append((f" --status {each}", each, None, None))
        filters.append((f" --status {each} --queue emails", each, "emails", None))
    filters += [
        (" --queue emails", None, "emails", None),
        (" --job noop", None, None, "noop"),
        (" --queue nowhere", None, "nowhere", None),
    ]
    for words, status, queue, name in filters:
        yield f"report:jobs{words}", partial(_newest, status, queue, name)


def _newest(
    status: Status | None, queue: str | None, name: str | None, repository: Repository
) -> object:
    return repository.newest(Filter(status, queue, name), LIMIT)


def _ask(path: str, ask: Callable[[Repository], object]) -> float:
    with closing(Queue(path)) as queue:
        repository = queue.repository
        repository.newest(Filter(), 1)  # imports what it needs
        began = time.perf_counter()
        ask(repository)
        return (time.perf_counter() - began) * 1e3
