"""`prokerja realization:start`: the worker."""

from __future__ import annotations

import sys
from typing import Annotated

from prokerja.commandline import Option
from prokerja.commands import Db, Jobs
from prokerja.commands.talk import Progress, Talk
from prokerja.queue import Queue
from prokerja.settings import settings
from prokerja.times import duration
from prokerja.worker import Worker


def run(
    *,
    queue: Annotated[
        list[str], Option("Take from this queue; repeat for more, the first goes first.")
    ] = [],  # noqa: B006
    realizers: Annotated[int, Option("How many jobs to run at once; 1 if not said.")] = 1,
    until_empty: Annotated[bool, Option("Leave when nothing is due and nothing runs.")] = False,
    max_jobs: Annotated[int | None, Option("Leave after so many jobs.")] = None,
    grace: Annotated[
        str, Option("How long running jobs may take to end after TERM.", metavar="DURATION")
    ] = "30s",
    db: Db = None,
    jobs: Jobs = None,
) -> None:
    """Start a worker: realize jobs until told to stop."""
    where = settings(db, jobs)
    patience = duration(grace, "--grace")
    talk = Progress() if until_empty and sys.stderr.isatty() else Talk()
    worker = Worker(
        Queue(where.db),
        where.jobs,
        queues=queue,
        realizers=realizers,
        until_empty=until_empty,
        max_jobs=max_jobs,
        grace=patience,
        on_event=talk.tell,
    )
    with talk:
        worker.run()
