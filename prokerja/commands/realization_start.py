"""`prokerja realization:start`: the worker."""

from __future__ import annotations

import sys
from typing import Annotated

from prokerja.commandline import Option
from prokerja.commands import Duration, Number, Place, Size
from prokerja.console.background import BackgroundLog
from prokerja.console.log_choice import FORMATS, TEXT, log_of
from prokerja.errors import BadOption
from prokerja.queue import Queue
from prokerja.sizes import size
from prokerja.streams import leave_if_unread
from prokerja.terms import NAME, WEIGHT
from prokerja.text import quoted
from prokerja.times import duration
from prokerja.worker.restart import of_this_process
from prokerja.worker.worker import Worker

MAX_REALIZERS = 1000
"""Realizers; each is a process."""


def run(
    *,
    queue: Annotated[
        list[str],
        Option(
            "Take from this queue; repeat for more, the first goes first; with weights, in turns.",
            metavar="QUEUE[=N]",
        ),
    ] = [],  # noqa: B006
    realizers: Annotated[
        int, Option("How many jobs to run at once; default: 1.", metavar=Number)
    ] = 1,
    until_empty: Annotated[
        bool, Option("Stop when nothing is due and nothing is running.")
    ] = False,
    max_jobs: Annotated[int | None, Option("Stop after this many jobs.", metavar=Number)] = None,
    grace: Annotated[
        str, Option("Time for running jobs to end after TERM; default: 30s.", metavar=Duration)
    ] = "30s",
    same_as: Annotated[
        list[str],
        Option(
            "Take what was declared from this jobs directory, too: the jobs are the same.",
            metavar="DIR",
        ),
    ] = [],  # noqa: B006
    max_time: Annotated[
        str | None, Option("Finish what runs, and leave, after this long.", metavar=Duration)
    ] = None,
    idle_exit: Annotated[
        str | None,
        Option("Leave once nothing was due or running for this long.", metavar=Duration),
    ] = None,
    jitter: Annotated[
        str, Option("Start after a random part of this; default: 0s.", metavar=Duration)
    ] = "0s",
    sleep_jitter: Annotated[
        str,
        Option("Added in part, at random, to sleeps where no file is watched.", metavar=Duration),
    ] = "0s",
    realizer_jobs: Annotated[
        int | None, Option("Replace a realizer after this many jobs.", metavar=Number)
    ] = None,
    nice: Annotated[
        int, Option("Add this to the niceness of realizers; default: 0.", metavar=Number)
    ] = 0,
    concurrency: Annotated[
        int, Option("How many async jobs a realizer has in flight; default: 1.", metavar=Number)
    ] = 1,
    memory_limit: Annotated[
        str | None,
        Option("Replace a realizer that is larger than this before a job.", metavar=Size),
    ] = None,
    memory_free: Annotated[
        str, Option("Take no jobs while less memory is free; default: 0.", metavar=Size)
    ] = "0",
    memory_learn: Annotated[
        bool, Option("Take a job only if as much memory is free as its kind has used.")
    ] = False,
    disk_free: Annotated[
        str | None,
        Option("Take no jobs while less disk is free; default: 64M, at most 5 %.", metavar=Size),
    ] = None,
    no_watch: Annotated[
        bool, Option("Do not replace realizers when the code of jobs changes.")
    ] = False,
    log_format: Annotated[
        str, Option("How stderr tells what happens: text or json; default: text.", metavar="FORMAT")
    ] = TEXT,
    verbose: Annotated[bool, Option("Show what jobs print, too.", ("--verbose", "-v"))] = False,
    place: Place,
) -> int:
    """Start a worker, which runs jobs until it is stopped.

    Example: prokerja realization:start --queue urgent=5 --queue default=1 --realizers 4
    """
    if log_format not in FORMATS:
        known = " or ".join(FORMATS)
        raise BadOption(f"--log-format: {quoted(log_format)} is not a format; give {known}")
    log, others = log_of(log_format)
    patience = duration(grace, "--grace")
    if realizers > MAX_REALIZERS:
        raise BadOption(f"realizers: {realizers} are too many; give {MAX_REALIZERS} or fewer")
    queues = _queues(queue)
    source = Queue.of(place)
    if until_empty and log_format == TEXT and sys.stderr.isatty():
        from prokerja.console.progress_log import ProgressLog

        log = ProgressLog(_waiting(source, [*queues]))
    background = BackgroundLog(log)
    worker = Worker(
        source,
        place.jobs if place.jobs_named else None,
        queues=queues,
        realizers=realizers,
        until_empty=until_empty,
        max_jobs=max_jobs,
        grace=patience,
        same_as=same_as,
        verbose=verbose,
        on_event=background.tell,
        max_time=_duration(max_time, "--max-time"),
        idle_exit=_duration(idle_exit, "--idle-exit"),
        jitter=duration(jitter, "--jitter"),
        sleep_jitter=duration(sleep_jitter, "--sleep-jitter"),
        realizer_jobs=realizer_jobs,
        nice=nice,
        concurrency=concurrency,
        memory_limit=None if memory_limit is None else size(memory_limit, "--memory-limit"),
        memory_free=size(memory_free, "--memory-free"),
        memory_learn=memory_learn,
        disk_free=None if disk_free is None else size(disk_free, "--disk-free"),
        watch=not no_watch,
        systemd=True,
        titles=True,
    )
    worker.restart = restart = of_this_process()
    with source, others, background:
        worker.run()
    if worker.restart_wanted:
        restart.execute()
    leave_if_unread(worker.exit_code)
    return worker.exit_code


def _duration(text: str | None, what: str) -> float | None:
    return None if text is None else duration(text, what)


def _queues(given: list[str]) -> list[str] | dict[str, int]:
    """The queues in order or, if any has a weight, their weights; those without weigh 1."""
    pairs = [_weighted(text) for text in given]
    weights = dict(pairs)
    for name, weight in pairs:
        NAME.check(name, "--queue")
        WEIGHT.check(1 if weight is None else weight, f"--queue {name}")
    if all(weight is None for _, weight in pairs):
        return given
    if len(weights) < len(pairs):
        raise BadOption("--queue: a queue is given twice, and has a weight; give each of them once")
    return {name: weight or 1 for name, weight in pairs}


def _weighted(text: str) -> tuple[str, int | None]:
    name, equals, weight = text.rpartition("=")
    if not equals:
        return text, None
    if not weight.isascii() or not weight.isdecimal():
        raise BadOption(
            f"--queue: {quoted(weight)} is not a weight; write QUEUE=N, such as urgent=5"
        )
    return name, int(weight)


def _waiting(source: Queue, queues: list[str]) -> int:
    """How many jobs are pending in these queues, or in all if none is named."""
    tallies = source.summary().queues
    return sum(tally.pending for tally in tallies if not queues or tally.queue in queues)
