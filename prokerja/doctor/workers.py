"""Whether anybody works on what is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.flow.pauses import ALL_QUEUES
from prokerja.model.check import failed, ok, warning
from prokerja.text import escaped, quoted
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.check import Check
    from prokerja.model.summary import Summary
    from prokerja.model.worker import WorkerNote, WorkerRow
    from prokerja.repository.verbs import Repository

START = "start one with `prokerja realization:start`, or start its service"


def check_workers(store: Repository, now: float) -> Iterator[Check]:
    """Look at who has joined a store, and at what waits there."""
    summary = store.summary(None, now)
    living = {worker.id for worker in summary.workers}
    for worker in store.workers():
        if worker.id not in living:
            what = f"worker {worker.id} (process {worker.pid}) is dead, and not struck off yet"
            yield warning("workers", what, f"{START}: it puts back what that one held")
    for worker in summary.workers:
        yield _check_worker(worker, now)
        for note in worker.notes:
            yield _check_note(worker, note, now)
    yield _check_due(summary)


def _check_worker(worker: WorkerRow, now: float) -> Check:
    name = f"worker {worker.id} (process {worker.pid})"
    if _is_stopped(worker.pid):
        what = f"{name} stands still, stopped by a signal"
        return failed("workers", what, f"kill -CONT {worker.pid}")
    return ok("workers", f"{name} has been alive for {human(now - worker.started_at)}")


def _check_note(worker: WorkerRow, note: WorkerNote, now: float) -> Check:
    since = human(now - note.since)
    if note.holds:
        what = f"worker {worker.id} has taken no jobs for {since}: {escaped(note.text)}"
        return failed("workers", what, "do something about that, and it goes on by itself")
    what = f"worker {worker.id} has been saying for {since}: {escaped(note.text)}"
    return warning("workers", what, "its log may say more")


def _check_due(summary: Summary) -> Check:
    paused = {pause.name for pause in summary.paused}
    unserved = {
        queue: due
        for queue, due in summary.due_since.items()
        if not paused & {queue, ALL_QUEUES}
        and not any(worker.taking.serves(queue) for worker in summary.workers)
    }
    if unserved:
        queue = min(unserved, key=lambda name: unserved[name])
        waiting = human(summary.now - unserved[queue])
        what = f"a job of queue {quoted(queue)} has been due for {waiting}, and no worker"
        return failed("due", f"{what} {'takes from it' if summary.workers else 'is alive'}", START)
    if not summary.due_since:
        return ok("due", "no job is due")
    if all(paused & {queue, ALL_QUEUES} for queue in summary.due_since):
        return warning("due", "what is due waits in paused queues", "`prokerja queue:resume`")
    waiting = human(summary.now - min(summary.due_since.values()))
    return ok("due", f"a worker takes what is due; the oldest of it since {waiting}")


def _is_stopped(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except (psutil.Error, ValueError):
        return False
