"""`prokerja result`: what a job has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import print_json, say
from prokerja.errors import ProkerjaError
from prokerja.model.declaration import Status
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.queue import Queue
from prokerja.text import escaped, loaded

if TYPE_CHECKING:
    from prokerja.model.record import Detail


def run(
    *,
    id: Annotated[int, Argument("The job's id.", "ID")],
    place: Place,
    json: Json = False,  # noqa: ARG001  it answers in nothing else
) -> None:
    """Print what a completed job has returned, as JSON.

    Of a result that was too long to be kept, an object: its length and its beginning as text.

    Example: prokerja result 12
    """
    with Queue.of(place, create=False) as queue:
        detail = queue.detail(id)
    print_json(_result(detail))
    if detail.cut is not None:
        say(
            f"the result of job {id} has {detail.cut.bytes:,} bytes, of which"
            f" {MAX_RESULT_BYTES:,} are kept; have the job write it to a file, and return the path"
        )


def _result(detail: Detail) -> Any:
    record = detail.record
    if record.status is Status.FAILED:
        error = (record.error or "").partition("\n")[0]
        raise ProkerjaError(
            f"job {record.id} has failed, so it has no result: {escaped(error)};"
            f" `prokerja report:job {record.id}` shows all"
        )
    if record.status is not Status.COMPLETED:
        raise ProkerjaError(
            f"job {record.id} is {record.status}, so it has no result yet;"
            f" `prokerja wait {record.id}` waits for its end"
        )
    if detail.cut is not None:
        return {"cut": True, **detail.cut._asdict()}
    return None if record.result is None else loaded(record.result)
