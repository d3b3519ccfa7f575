"""`prokerja purge`: delete jobs that are no longer needed."""

from __future__ import annotations

import time
from typing import Annotated

from prokerja.commandline import Option
from prokerja.commands import Duration, Json, Place, QueueOption
from prokerja.commands.report_jobs import status_of
from prokerja.console import confirm, hint, plural, print_json
from prokerja.errors import BadOption
from prokerja.model.declaration import Status
from prokerja.queue import Queue
from prokerja.text import escaped, quoted
from prokerja.times import duration, human


def run(
    *,
    status: Annotated[
        str, Option("completed, failed or pending ones; default: completed.", metavar="STATUS")
    ] = "completed",
    older_than: Annotated[
        str, Option("Only jobs that ended (or were due) longer ago than this.", metavar=Duration)
    ] = "0",
    queue: QueueOption = None,
    yes: Annotated[bool, Option("Do not ask.", ("--yes", "-y"))] = False,
    place: Place,
    json: Json = False,
) -> int:
    """Delete completed jobs, or those of --status.

    Example: prokerja purge --older-than 7d
    """
    wanted = status_of(status)
    if wanted is Status.PROCESSING:
        raise BadOption("--status: processing jobs cannot be purged; wait until they have ended")
    age = duration(older_than, "--older-than")
    # Pending jobs that are due later have no age yet: without one given, they all go.
    before = time.time() - age if age or wanted is not Status.PENDING else float("inf")
    which = f"all {wanted.value} jobs{_of(queue)}{f' older than {human(age)}' if age else ''}"
    with Queue.of(place, create=False) as source:
        if not yes and not confirm(f"Delete {which} from {escaped(source.repository.path)}?"):
            hint("Deleted nothing.")
            return 1
        count = source.purge(wanted, before, queue)
    print_json({"purged": count}) if json else print(count)
    hint(f"Deleted {plural(count, f'{wanted.value} job')}.")
    return 0


def _of(queue: str | None) -> str:
    return "" if queue is None else f" of the queue {quoted(queue)}"
