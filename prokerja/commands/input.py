"""What commands read: options as people write them, JSON, and lines of stdin."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from prokerja.errors import BadPayload, RequestError
from prokerja.request import LARGEST, Options
from prokerja.times import duration, moment, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 2**16


def options_from(
    *,
    queue: str | None,
    priority: int | None,
    in_: str | None,
    at: str | None,
    retries: int | None,
    retry_after: str | None,
    timeout: str | None,
) -> Options:
    """Options of a declaration from the texts of a command line."""
    return Options(
        queue,
        priority,
        None if in_ is None else duration(in_, "--in"),
        None if at is None else moment(at, "--at"),
        retries,
        None if retry_after is None else duration(retry_after, "--retry-after"),
        None if timeout is None else duration(timeout, "--timeout"),
    )


def read_all(source: str) -> str:
    """The text itself, that of `@file`, or stdin for `-`; refuses more than a payload may have."""
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(LARGEST + 1)
        elif source.startswith("@"):
            with open(source[1:], "rb") as file:
                raw = file.read(LARGEST + 1)
        else:
            return source
    except OSError as error:
        raise RequestError(
            f"cannot read {shown(source)}: {error.strerror}; check the path"
        ) from None
    if len(raw) > LARGEST:
        raise BadPayload("the payload is larger than 1 MiB; write it to a file and pass the path")
    return raw.decode("utf-8", "surrogateescape")


def parse_json(text: str, what: str) -> Any:
    """The JSON value of a text; raises BadPayload, naming `what`, also for NaN and Infinity."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BadPayload(f"{what} is not JSON: {error.msg} at {where}; mend it") from None
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"{what} is not JSON: {error}; mend it") from None


def values(null: bool) -> Iterator[str]:
    """The lines of stdin, or with `null` what stands between its NULs; empty ones are skipped."""
    end = b"\0" if null else b"\n"
    rest = b""
    while piece := os.read(sys.stdin.fileno(), PIECE):
        *whole, rest = (rest + piece).split(end)
        yield from (os.fsdecode(value) for value in whole if value)
    if rest:
        yield os.fsdecode(rest)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} has no place in JSON")
