"""A bare worker on inotify: `python -m tests.bench.bare_waking FILE`.

One process sleeps until the file's log is written to, claims one row of the bare table, runs Mark,
and settles it. No worker that sleeps until then can start a job sooner by much.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import contextmanager, suppress
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

from inotify_simple import INotify, flags

from tests.bench.bare import CLAIM, COMPLETE, create
from tests.bench.jobs.mark import Mark
from tests.bench.stage import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(path: str) -> None:
    """Work until stdin ends."""
    connection = create(path, durable=False)
    inotify = INotify()
    inotify.add_watch(f"{path}-wal", flags.MODIFY)
    print("ready", flush=True)
    while True:
        inotify.read()
        with suppress(sqlite3.OperationalError):  # who has woken us is still writing
            for id, payload in connection.execute(CLAIM, (time.time(),)).fetchall():
                began = time.time()
                Mark(**json.loads(payload)).handle()
                connection.execute(COMPLETE, (began, time.time(), None, id))


@contextmanager
def bare_worker(path: str) -> Iterator[None]:
    """It runs meanwhile."""
    command = [sys.executable, "-m", "tests.bench.bare_waking", path]
    with Popen(command, stdout=PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main(sys.argv[1])
