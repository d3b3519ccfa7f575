"""`prokerja wait`: block until jobs have ended."""

from __future__ import annotations

import time
from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Db, Json
from prokerja.console import print_json
from prokerja.errors import NotFound, WaitedTooLong
from prokerja.model import Status
from prokerja.repository import Repository
from prokerja.settings import settings
from prokerja.times import duration
from prokerja.watch import Watch

ENDED = (Status.COMPLETED, Status.FAILED)


def run(
    *,
    ids: Annotated[list[int], Argument("The jobs to wait for.", "ID")],
    timeout: Annotated[str | None, Option("Wait no longer than this.", metavar="DURATION")] = None,
    db: Db = None,
    json: Json = False,
) -> int:
    """Wait until jobs have ended: exit 0 if all completed, 1 if one failed, 124 out of time."""
    patience = float("inf") if timeout is None else duration(timeout, "--timeout")
    give_up = time.monotonic() + patience
    repository = Repository(settings(db).db, create=False)
    with repository.database.reading():
        states = _states(repository, ids)
    watch = Watch(repository.path)
    while not all(state in ENDED for state in states.values()):
        left = give_up - time.monotonic()
        if left <= 0:
            late = ", ".join(str(id) for id, state in states.items() if state not in ENDED)
            raise WaitedTooLong(f"waited {timeout} and job {late} has not ended; wait longer")
        watch.wait(min(left, 60.0))
        # What woke us can be seen for certain by who has the write lock.
        with repository.database.writing():
            states = _states(repository, ids)
    if json:
        print_json({str(id): state.value for id, state in states.items()})
    return int(any(state is Status.FAILED for state in states.values()))


def _states(repository: Repository, ids: list[int]) -> dict[int, Status]:
    states = {}
    for id in ids:
        record = repository.history.one(id)
        if record is None:
            raise NotFound(f"there is no job {id}; `prokerja report:jobs` lists them")
        states[id] = record.status
    return states
