"""What a job leaves when it ends: its result, its follow-ups, its error."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

from prokerja.job import FOLLOW_UPS
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.steering import Await, GiveUp, Later, Steering
from prokerja.text import utf8
from prokerja.verdicts import Advice, Failed, Parked, Postponed

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.model.declaration import Declaration
    from prokerja.verdicts import Completed

MAX_ERROR_CHARACTERS = 2**16
MAX_FOLLOW_UP_BYTES = 2**26
"""Of all payloads that one job declares, together."""


def encode_result(result: Any) -> str:
    """A job's result as JSON; raises TypeError or ValueError for what is not a JSON value.

    Raises what it says instead of a result, if it does.
    """
    if isinstance(result, Steering):
        raise result
    try:
        return json.dumps(result, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"handle() returned what is not JSON: {error}") from None


def cut_result(ended: Completed) -> None:
    """Keep the beginning of a result that is too long: the work is done all the same."""
    text, ended.result = ended.result or "", None
    ended.cut = len(text), text[:MAX_RESULT_BYTES]


def follow_ups(directory: str, clock: Callable[[], float], job: Any) -> tuple[Declaration, ...]:
    """What the job declared with `self.declare()` while it ran, in a worker of that directory.

    Raises RequestError for what cannot be declared, ValueError for too much of it.
    """
    made = getattr(job, FOLLOW_UPS, ())
    if not made:
        return ()
    from prokerja import checking

    now = clock()
    declarations = tuple(
        checking.declaration_of(other, options, now, directory) for other, options in made
    )
    if sum(len(one.payload) for one in declarations) > MAX_FOLLOW_UP_BYTES:
        raise ValueError("the job declared more than 64 MiB; write it to files, declare the paths")
    return declarations


class Steered(Exception):
    """Raised by what runs a job, of a failure that says more than its message."""

    def __init__(self, why: str, advice: Advice, exit_code: int | None) -> None:
        super().__init__(why)
        self.advice = advice
        self.exit_code = exit_code


def unfinished(error: BaseException, token: str | None) -> Failed | Postponed | Parked:
    """What a job's exception comes to; its times are still to be set.

    `token` is that of its attempt, if it has one.
    """
    if isinstance(error, Steering):
        try:
            return _steered(error, token)
        except Exception as fault:  # noqa: BLE001  its class may be the user's own
            error = fault
    return failure(error)


def _steered(asked: Steering, token: str | None) -> Failed | Postponed | Parked:
    """What a job has asked for; checked once more, as it may have been changed."""
    match asked:
        case Later():
            return Postponed(0.0, 0.0, Later(asked.seconds).seconds)
        case Await():
            return Parked(0.0, 0.0, Await(asked.timeout).timeout, token)
        case GiveUp():
            why = " ".join(utf8(GiveUp(asked.reason).reason).split())[:MAX_ERROR_CHARACTERS]
            cause = format_traceback(asked) if asked.__cause__ else None
            return Failed(0.0, 0.0, why, cause, Advice.NEVER)
    raise TypeError(f"{type(asked).__name__} is none of Later, GiveUp and Await")


def failure(error: BaseException) -> Failed:
    """What a job's exception comes to as a failure; its times are still to be set."""
    if isinstance(error, Steered):
        why = utf8(str(error))[:MAX_ERROR_CHARACTERS]
        return Failed(0.0, 0.0, why, None, error.advice, error.exit_code)
    return Failed(0.0, 0.0, format_error(error), format_traceback(error))


def format_error(error: BaseException) -> str:
    """An exception's type and message, on one line."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  a job's exception may fail even at this
        message = "(its message cannot be shown)"
    kind = type(error).__name__
    line = " ".join(message.split())
    return utf8(f"{kind}: {line}" if line else kind)[:MAX_ERROR_CHARACTERS]


def format_traceback(error: BaseException) -> str:
    """The traceback, without the frames of this program."""
    try:
        here = error.__traceback__.tb_next if error.__traceback__ else None
        lines = traceback.format_exception(type(error), error, here)
    except Exception:  # noqa: BLE001  see above
        return ""
    return utf8("".join(lines))[-MAX_ERROR_CHARACTERS:]
