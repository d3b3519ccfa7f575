"""Waits until jobs have ended."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from operator import index
from typing import TYPE_CHECKING

from prokerja.errors import NotFound, RequestError, WaitedTooLong
from prokerja.exit_codes import as_shell, in_words
from prokerja.model.declaration import SHELL, Status
from prokerja.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prokerja.model.record import Detail
    from prokerja.repository.verbs import Repository

ENDED = (Status.COMPLETED, Status.FAILED)
MAX_SLEEP_SECONDS = 30.0
"""After which the store is looked at anyway: what has ended is not kept for ever."""
REST_FACTOR = 9
"""A look at many jobs is followed by a rest so many times as long: a worker needs the machine."""


def wait(
    repository: Repository, ids: Sequence[int], timeout: float | None, *, any: bool = False
) -> dict[int, Status]:
    """The jobs' states as soon as all have ended; with `any`, of those that have when one has.

    Raises NotFound, WaitedTooLong after `timeout` seconds (None: never), and StoreGone.
    """
    began = time.monotonic()
    patience = float("inf") if timeout is None else timeout
    give_up = began + patience
    states = repository.statuses(ids)
    if are_enough(states, any=any):
        return ended_of(states)
    with closing(
        repository.watch(guarded=True)
    ) as watch:  # before the next look: no change escapes
        while True:
            repository.refuse_gone()
            late = states.keys() - ended_of(states).keys()
            states.update(repository.statuses(sorted(late)))
            if are_enough(states, any=any):
                return ended_of(states)
            now = time.monotonic()
            left = give_up - now
            if left <= 0:
                raise WaitedTooLong(too_long(states, patience))
            time.sleep(min(left, (now - began) * REST_FACTOR, MAX_SLEEP_SECONDS))
            watch.wait(min(max(give_up - time.monotonic(), 0.0), MAX_SLEEP_SECONDS))
            began = time.monotonic()


def wait_for_batch(repository: Repository, batch: str, timeout: float | None) -> dict[str, int]:
    """How many of a batch have completed and failed, as soon as none of it is open.

    Raises NotFound, and WaitedTooLong after `timeout` seconds (None: never).
    """
    left = seconds_left(timeout)
    while (counts := counts_of_batch(repository, batch)) is None:
        with suppress(NotFound):  # one of them was purged meanwhile
            wait(repository, repository.open_ids(None, None, batch), left())
    return counts


def counts_of_batch(repository: Repository, batch: str) -> dict[str, int] | None:
    """How many of a batch have completed and failed; None if some of it is open."""
    total = repository.summary(None, time.time(), batch).total
    if total.pending or total.processing:
        return None
    return {"completed": total.completed, "failed": total.failed}


def seconds_left(timeout: float | None) -> Callable[[], float | None]:
    """What tells how much is left of a time that begins now; None of a time without end."""
    if timeout is None:
        return lambda: None
    give_up = time.monotonic() + timeout
    return lambda: max(give_up - time.monotonic(), 0.0)


def ids_of(ids: Iterable[int]) -> list[int]:
    """The ids, if all are numbers; raises RequestError."""
    try:
        return [index(id) for id in ids]
    except TypeError:
        raise RequestError(
            f"{shown(ids)} is no id, and holds no ids; give whole numbers, as declare() returns"
        ) from None


def exit_code(detail: Detail) -> int | None:
    """What a shell would say of a command that has ended; None if it did not end by itself."""
    if detail.record.lane.name != SHELL or not detail.attempts:
        return None
    code = detail.attempts[-1].exit_code
    if code == 0 and detail.record.status is Status.FAILED:
        return 1  # it was to end otherwise
    return None if code is None else as_shell(code)


def code_of(detail: Detail) -> int:
    """The exit code of who has waited for this one job, which has ended."""
    code = exit_code(detail)
    return int(detail.record.status is Status.FAILED) if code is None else code


def fault_of(detail: Detail) -> str:
    """Why a job has failed, in a line; empty if it has not, and if its exit code says it all."""
    record = detail.record
    if record.status is not Status.FAILED:
        return ""
    error = (record.error or "").partition("\n")[0]
    code = detail.attempts[-1].exit_code if detail.attempts else None
    return "" if code is not None and code > 0 and error == in_words(code) else error


def ended_of(states: dict[int, Status]) -> dict[int, Status]:
    """Those that have ended."""
    return {id: state for id, state in states.items() if state in ENDED}


def are_enough(states: dict[int, Status], *, any: bool) -> bool:
    """Whether all have ended, or with `any` one at least."""
    ended = len(ended_of(states))
    return ended == len(states) or (any and ended > 0)


def too_long(states: dict[int, Status], patience: float) -> str:
    """What to say to who has waited in vain."""
    late = [id for id, state in states.items() if state not in ENDED]
    which = f"job {late[0]}" if len(late) == 1 else f"{len(late):,} jobs, the first is {late[0]},"
    has = "has" if len(late) == 1 else "have"
    return (
        f"waited {round(patience, 2):g} s and {which} {has} not ended;"
        f" `prokerja report:job {late[0]}` says why"
    )
