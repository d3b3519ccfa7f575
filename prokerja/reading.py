"""Reads jobs back, for programs: one, those that match, and what they have returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption, JobFailed, NotEnded, RequestError, ResultCut
from prokerja.model.declaration import Status
from prokerja.model.job_record import JobRecord
from prokerja.model.record import Filter
from prokerja.text import loaded, quoted, shown
from prokerja.waiting import ENDED, ids_of, wait

if TYPE_CHECKING:
    from prokerja.events import Event, Position
    from prokerja.model.record import Record
    from prokerja.repository.verbs import Repository
    from prokerja.types import Wanted

WANTED = ("status", "queue", "job", "label", "batch", "since", "until", "error")


def read(repository: Repository, id: int) -> JobRecord:
    """One job; raises NotFound."""
    return JobRecord.of(_record(repository, id))


def find(repository: Repository, wanted: Wanted, limit: int) -> list[JobRecord]:
    """The jobs that match, newest first; raises RequestError for what cannot be meant."""
    if limit < 1:
        raise BadOption(f"limit: {limit} is too few; give 1 or more")
    return [JobRecord.of(record) for record in repository.newest(_filter(wanted), limit)]


def result(repository: Repository, id: int, timeout: float | None) -> Any:
    """What a completed job has returned, once it has ended if there is a time-out.

    Raises NotFound, JobFailed, ResultCut, WaitedTooLong, and NotEnded where it was not to be
    waited for.
    """
    record = _record(repository, id)
    if timeout is not None and record.status not in ENDED:
        wait(repository, (record.id,), timeout)
        record = _record(repository, id)
    if record.status is Status.FAILED:
        raise JobFailed(record.id, record.error or "")
    if record.status is not Status.COMPLETED:
        raise NotEnded(
            f"job {record.id} is {record.status} and has no result yet; wait for it, as"
            f" `result({record.id}, timeout=60)` does"
        )
    if record.cut_bytes is not None:
        raise ResultCut(
            f"job {record.id} has completed, but its result of {record.cut_bytes:,} bytes was too"
            " long to be kept; have the job write it to a file, and return the path"
        )
    return None if record.result is None else loaded(record.result)


def events(repository: Repository, since: Any, limit: int) -> list[Event]:
    """What has happened after a place, `limit` events at the most; raises BadOption."""
    if limit < 1:
        raise BadOption(f"limit: {limit} is too few; give 1 or more")
    return repository.events(position(repository, since), limit)


def position(repository: Repository, since: Any) -> Position:
    """The place that a cursor names, or that before a moment; None for the first there is."""
    from prokerja.events import Position

    if since is None:
        return Position()
    if not isinstance(since, str):
        return repository.event_position(_seconds(since, "since"))
    found = Position.read(since)
    if found is None:
        raise BadOption(f"since: {quoted(since)} is no cursor; give that of an event, or a moment")
    return found


def _record(repository: Repository, id: int) -> Record:
    [id] = ids_of((id,))
    return repository.read(id)


def _filter(wanted: Wanted) -> Filter:
    given: dict[str, Any] = {"status": None, **wanted}
    if unknown := given.keys() - WANTED:
        raise RequestError(
            f"cannot find jobs by {', '.join(sorted(unknown))}; there are {', '.join(WANTED)}"
        )
    if given["status"] is not None:
        given["status"] = _status(given["status"])
    for name in ("since", "until"):
        given[name] = _seconds(given.get(name), name)
    return Filter(name=given.pop("job", None), **given)


def _status(status: str) -> Status:
    try:
        return Status(status)
    except ValueError:
        what = quoted(str(status))
        raise BadOption(f"status: {what} is none of {', '.join(Status)}") from None


def _seconds(moment: Any, what: str) -> float | None:
    if moment is None:
        return None
    try:
        return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)
    except (TypeError, ValueError, OverflowError):
        raise BadOption(
            f"{what}: {shown(moment)} is no moment; give a datetime, or seconds since the epoch"
        ) from None
