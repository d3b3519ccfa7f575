"""For those who test their own jobs, and the code that declares them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from prokerja.testing.asserting import AssertingQueue
    from prokerja.testing.drained import Attempt, Drained
    from prokerja.testing.in_process import InProcessQueue

__all__ = ["AssertingQueue", "Attempt", "Drained", "InProcessQueue", "queue", "worker"]

_HOMES = {
    "AssertingQueue": "prokerja.testing.asserting",
    "Attempt": "prokerja.testing.drained",
    "Drained": "prokerja.testing.drained",
    "InProcessQueue": "prokerja.testing.in_process",
}


@contextmanager
def queue(
    *jobs: type,
    now: float | datetime | None = None,
    resources: Mapping[str, int] | None = None,
) -> Iterator[InProcessQueue]:
    """A queue in memory whose jobs run in this process, when `drain()` is called.

    Meanwhile it is the default queue, so what the code under test declares with
    `prokerja.declare` is in it. Classes of declared jobs are known; `jobs` are further ones, for
    what is declared by name. Its clock stands still at `now`, or at the second in which it began.
    `resources` are those of the machine, by name; if left out, as the settings say.
    """
    from prokerja.queue import default_replaced
    from prokerja.settings import IN_A_TEST
    from prokerja.testing.in_process import InProcessQueue

    with (
        InProcessQueue(jobs, now, resources) as made,
        default_replaced(made),
        _default_file(IN_A_TEST),
    ):
        yield made


@contextmanager
def worker(
    jobs: str | os.PathLike[str] | Iterable[type] | None = None,
    *,
    queues: Iterable[str] = (),
    realizers: int = 1,
    grace: float = 5.0,
) -> Iterator[AssertingQueue]:
    """A queue in a file of its own, and a worker that realizes it as always, in child processes.

    The options are those of a Worker. Meanwhile it is the default queue, also of the processes
    that are started. At the end the worker is stopped, with `grace` seconds for what still runs,
    and the file is deleted. An error that leaves the context has a note that says what the
    worker has done. Raises CatalogError if the jobs cannot be loaded.
    """
    from tempfile import TemporaryDirectory

    from prokerja.queue import default_replaced
    from prokerja.testing.asserting import AssertingQueue
    from prokerja.testing.background import BackgroundWorker
    from prokerja.worker.worker import Worker

    with (
        TemporaryDirectory(prefix="prokerja-") as directory,
        AssertingQueue(f"{directory}/queue.sqlite3") as made,
        default_replaced(made),
        _default_file(made.path),
    ):
        background = BackgroundWorker(made)
        source = Worker(
            made, jobs, queues=queues, realizers=realizers, grace=grace, on_event=background.note
        )
        with background.running(source):
            yield made


def __getattr__(name: str) -> Any:
    """Import each type when it is first used: pytest imports this for every test."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


@contextmanager
def _default_file(path: str) -> Iterator[None]:
    """What the environment names as the default file, for what opens that by itself."""
    import os

    before = os.environ.get("PROKERJA_DB")
    os.environ["PROKERJA_DB"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["PROKERJA_DB"]
        else:
            os.environ["PROKERJA_DB"] = before
