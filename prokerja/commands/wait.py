"""`prokerja wait`: block until jobs have ended."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import Db, Duration, Jobs, Json
from prokerja.console import print_json
from prokerja.errors import NotFound, WaitedTooLong
from prokerja.model import Status
from prokerja.repository.sqlite.repository import Repository
from prokerja.repository.sqlite.watch import Watch
from prokerja.settings import settings
from prokerja.times import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDED = (Status.COMPLETED, Status.FAILED)
LONGEST_SLEEP = 60.0
"""Seconds after which the store is looked at, whether it has changed or not."""
REST = 9
"""A look at many jobs is followed by a rest so many times as long: a worker needs the machine."""


def run(
    *,
    ids: Annotated[list[int], Argument("The jobs to wait for.", "ID...")],
    timeout: Annotated[str | None, Option("Wait no longer than this.", metavar=Duration)] = None,
    db: Db = None,
    jobs: Jobs = None,
    json: Json = False,
) -> int:
    """Wait until jobs have ended.

    Exit code 0 if all completed, 1 if one failed, 124 if the time ran out.
    """
    patience = float("inf") if timeout is None else duration(timeout, "--timeout")
    with (
        closing(Repository(settings(db, jobs).db, create=False)) as repository,
        closing(Watch(repository.path)) as watch,  # before the first look: no change escapes
    ):
        states = _ended(repository, watch, ids, patience)
    if json:
        print_json({str(id): state.value for id, state in states.items()})
    return int(Status.FAILED in states.values())


def _ended(
    repository: Repository, watch: Watch, ids: Iterable[int], patience: float
) -> dict[int, Status]:
    """The jobs' states as soon as all have ended; raises WaitedTooLong after so many seconds."""
    began = time.monotonic()
    give_up = began + patience
    states = _states(repository, ids)
    while late := [id for id, state in states.items() if state not in ENDED]:
        now = time.monotonic()
        left = give_up - now
        if left <= 0:
            raise WaitedTooLong(_too_long(late, patience))
        time.sleep(min(left, (now - began) * REST))
        watch.wait(min(max(give_up - time.monotonic(), 0.0), LONGEST_SLEEP))
        began = time.monotonic()
        states.update(_states(repository, late))
    return states


def _states(repository: Repository, ids: Iterable[int]) -> dict[int, Status]:
    states = {}
    with repository.database.reading():
        for id in ids:
            record = repository.history.one(id)
            if record is None:
                raise NotFound(f"there is no job {id}; `prokerja report:jobs` lists them")
            states[id] = record.status
    return states


def _too_long(late: list[int], patience: float) -> str:
    which = f"job {late[0]}" if len(late) == 1 else f"{len(late):,} jobs, the first is {late[0]},"
    has = "has" if len(late) == 1 else "have"
    return (
        f"waited {patience:g} s and {which} {has} not ended;"
        f" `prokerja report:job {late[0]}` says why"
    )
