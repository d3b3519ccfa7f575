"""What a job leaves when it ends: its result, its follow-ups, its error."""

from __future__ import annotations

import json
import time
import traceback
from typing import Any

from prokerja import request
from prokerja.job import FOLLOW_UPS
from prokerja.worker.wire.messages import FollowUp

LARGEST_RESULT = 2**20
LONGEST_ERROR = 2**16
MAX_FOLLOW_UP_BYTES = 2**26
"""Of all payloads that one job declares, together."""


def encode_result(result: Any) -> str:
    """A job's result as JSON; raises TypeError or ValueError for what is no JSON value."""
    try:
        text = json.dumps(result, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"handle() returned what is not JSON: {error}") from None
    if len(text) > LARGEST_RESULT:
        raise ValueError("handle() returned more than 1 MiB; write it to a file, return the path")
    return text


def declared(job: Any, directory: str) -> list[FollowUp]:
    """What the job declared with `self.declare()` while it ran, in a worker of that directory."""
    made = getattr(job, FOLLOW_UPS, ())
    if not made:
        return []
    follow_ups = [follow_up(other, request.Options(**opts), directory) for other, opts in made]
    if sum(len(one.payload) for one in follow_ups) > MAX_FOLLOW_UP_BYTES:
        raise ValueError("the job declared more than 64 MiB; write it to files, declare the paths")
    return follow_ups


def follow_up(job: Any, options: request.Options, directory: str) -> FollowUp:
    """A job's request to run another one, checked; raises RequestError."""
    d = request.from_job(job, time.time(), options, directory)
    queue, name, priority, home = d.lane
    return FollowUp(
        queue, name, priority, d.payload, d.due_at, d.retries, d.retry_after, d.timeout, home
    )


def in_one_line(error: BaseException) -> str:
    """An exception's type and message, on one line."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  a job's exception may fail even at this
        message = "(its message cannot be shown)"
    kind = type(error).__name__
    line = " ".join(message.split())
    return legible(f"{kind}: {line}" if line else kind)[:LONGEST_ERROR]


def told(error: BaseException) -> str:
    """The traceback, without the frames of this program."""
    try:
        here = error.__traceback__.tb_next if error.__traceback__ else None
        lines = traceback.format_exception(type(error), error, here)
    except Exception:  # noqa: BLE001  see above
        return ""
    return legible("".join(lines))[-LONGEST_ERROR:]


def legible(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
