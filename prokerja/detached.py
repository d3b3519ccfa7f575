"""A worker that a declaration starts, if none is alive, and that leaves when nothing is due.

`python -m prokerja.detached DB [JOBS]` is that worker; `start_detached` starts it.

Nobody declares in vain. Who declares looks afterwards whether a worker is alive; who leaves looks
afterwards whether something is due. And who finds another about to start one leaves it to that:
it holds the lock until its worker is registered, and first looks at the queue after that.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prokerja.permissions import share

if TYPE_CHECKING:
    from prokerja.queue import Queue

LOG = "-start.log"
"""What follows the queue's name in that of the file for what such a worker says; also its lock."""
STDERR = 2


def start_detached(queue: Queue, jobs: str | None) -> None:
    """Start one for this queue, unless a worker is alive or about to start.

    `jobs` is the jobs directory, None for the usual one. Raises OSError.
    """
    if queue.summary().workers:
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(f"{queue.path}{LOG}", flags, 0o600)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not queue.summary().workers:
            share(log, os.stat(queue.path))
            os.ftruncate(log, 0)
            words = [queue.path] if jobs is None else [queue.path, jobs]
            subprocess.Popen(
                [sys.executable, "-P", "-m", "prokerja.detached", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
    except BlockingIOError:
        pass  # another is about to
    finally:
        os.close(log)


def main(path: str, jobs: str | None = None) -> None:
    """Work until nothing is due that this worker could do."""
    from prokerja.console.worker_log import WorkerLog
    from prokerja.queue import Queue
    from prokerja.worker.worker import Worker
    from prokerja.worker_events import Event, WorkerStarted, WorkerStopped

    log = WorkerLog()
    has_worked = True

    def tell(event: Event) -> None:
        nonlocal has_worked
        log.tell(event)
        if isinstance(event, WorkerStarted):
            fcntl.flock(STDERR, fcntl.LOCK_UN)
        elif isinstance(event, WorkerStopped):
            has_worked = event.completed + event.failed > 0

    with Queue(path) as queue:
        is_due, pending = True, -1
        while is_due:
            before = pending
            reason = Worker(queue, jobs, until_empty=True, on_event=tell, titles=True).run()
            summary = queue.summary()
            pending = summary.total.pending
            # What is due and was due before, and was not taken, is for another worker.
            is_new = has_worked or pending != before
            is_due = is_new and not (reason or summary.workers or summary.waiting_since is None)


if __name__ == "__main__":
    main(*sys.argv[1:])
