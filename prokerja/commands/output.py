"""`prokerja output`: what a job has printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Number, Place, QueueOption
from prokerja.console import hint, plural
from prokerja.console.job_output import BOTH, JobOutput
from prokerja.errors import BadOption, NotFound, RequestError
from prokerja.following import follow
from prokerja.model.declaration import Status
from prokerja.model.record import Filter
from prokerja.output.lines import last_lines
from prokerja.output.pieces import STDERR, STDOUT
from prokerja.output.reading import Reading
from prokerja.queue import Queue
from prokerja.text import escaped
from prokerja.waiting import code_of

if TYPE_CHECKING:
    from prokerja.model.record import Record

MOST_FAILED, FAILED_LINES = 100, 10
"""How many failed jobs are shown, and how many lines of each unless --tail says."""


def run(
    *,
    id: Annotated[int | None, Argument("The job's id.", "[ID]")] = None,
    attempt: Annotated[
        int | None, Option("Of this attempt; default: the last one.", metavar=Number)
    ] = None,
    follow: Annotated[
        bool, Option("Go on until the job has ended, and exit as `wait` does.", ("--follow", "-f"))
    ] = False,
    stdout: Annotated[bool, Option("Its standard output only.")] = False,
    stderr: Annotated[bool, Option("Its standard error only.")] = False,
    tail: Annotated[int | None, Option("Only the last lines, so many.", metavar=Number)] = None,
    timestamps: Annotated[bool, Option("Begin each line with when it came.")] = False,
    raw: Annotated[
        bool, Option("Let a terminal obey what it prints, colours for example.")
    ] = False,
    failed: Annotated[bool, Option("The last lines of each failed job, newest first.")] = False,
    queue: QueueOption = None,
    place: Place,
) -> int:
    """Show what a job has printed.

    Example: prokerja output 12 --follow
    """
    if failed == (id is not None):
        raise RequestError("give the id of a job, or --failed")
    if tail is not None and tail < 0:
        raise BadOption(f"--tail: {tail} is too few; give 0 or more")
    if follow and (failed or tail is not None):
        raise RequestError("--follow goes with an id, and without --tail; leave one out")
    streams = {STDOUT} if stdout and not stderr else {STDERR} if stderr and not stdout else BOTH
    show = JobOutput(streams, raw=raw, timestamps=timestamps)
    with Queue.of(place, create=False) as source:
        if failed:
            _show_failed(source, queue, show, FAILED_LINES if tail is None else tail)
        elif follow and id is not None:
            return _follow(source, id, attempt, show)
        elif id is not None:
            _show_one(source, id, attempt, show, tail)
    return 0


def _follow(queue: Queue, id: int, attempt: int | None, output: JobOutput) -> int:
    detail = follow(queue, id, attempt, output.show)
    output.close()
    return code_of(detail)


def _show_one(
    queue: Queue, id: int, attempt: int | None, output: JobOutput, tail: int | None
) -> None:
    record = queue.detail(id).record
    runs = record.status is Status.PROCESSING and record.started_at is not None
    had = record.attempts + runs
    if attempt is not None and not 1 <= attempt <= had:
        raise NotFound(f"job {id} has had {plural(had, 'attempt')}; there is no attempt {attempt}")
    if not had:
        raise NotFound(f"job {id} has not been started; `prokerja report:job {id}` says why")
    if not _show(queue, record, attempt or had, output, tail):
        hint(f"Job {id} has printed nothing that was kept.")


def _show_failed(queue: Queue, name: str | None, output: JobOutput, tail: int) -> None:
    for record in queue.newest(Filter(Status.FAILED, name), MOST_FAILED):
        error = (record.error or "").partition("\n")[0]
        print(f"job {record.id} {escaped(f'{record.lane.name}: {error}')}", flush=True)
        _show(queue, record, record.attempts, output, tail)


def _show(queue: Queue, record: Record, attempt: int, output: JobOutput, tail: int | None) -> bool:
    """Show one attempt; returns whether there was anything."""
    outputs = queue.repository.outputs
    if outputs is None:
        return False
    reading = Reading(outputs, record.id, attempt)
    pieces = reading.pieces() if tail is None else last_lines(reading.pieces(), tail)
    for piece in pieces:
        output.show(reading, piece, is_cut=tail is not None)
    output.close()
    return reading.end > 0
