"""What commands read: options as people write them, JSON, and lines of stdin."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prokerja.commandline import Option, Parameter
from prokerja.declaring import MAX_PAYLOAD_BYTES
from prokerja.errors import BadOption, BadPayload, RequestError
from prokerja.options import NO_OPTIONS, Options
from prokerja.terms import FLOW_NAMES, FLOW_TERMS, TERMS
from prokerja.text import quoted
from prokerja.times import duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READ_BYTES = 2**16
"""Bytes that are read at once."""
MAX_INPUT_BYTES = 2 * MAX_PAYLOAD_BYTES
"""Bytes of JSON input; whitespace may make up half of them."""


METAVARS = {int: "N", float: "DURATION"}
OWN = (
    Parameter(
        "delay", str, False, Option("Run it after this much time.", ("--in",), metavar="DURATION")
    ),
    Parameter(
        "at", str, False, Option("Run it at this time: 2030-01-31T18:00, local.", metavar="TIME")
    ),
    Parameter("label", str, False, Option("What to call it in lists.", metavar="TEXT")),
    Parameter(
        "batch", str, False, Option("What to call those that belong together.", metavar="NAME")
    ),
    Parameter(
        "coalesce", str, False,
        Option("While a job with this key is open, declare none; print its id.", metavar="KEY"),
    ),
    Parameter(
        "replace", bool, False,
        Option("With --coalesce: that job takes the new payload and time, if it still waits."),
    ),
    Parameter("hold", bool, False, Option("Do not run it until `prokerja release`.")),
    Parameter(
        "expires", str, False,
        Option("It fails if it has not been started by then.", metavar="DURATION|TIME"),
    ),
    Parameter(
        "after", int, True, Option("Run it once this job has completed; repeatable.", metavar="ID")
    ),
    Parameter(
        "if_parent_fails", str, False,
        Option("If a job of --after fails: cancel this one (the default), run or wait.",
               metavar="WHAT"),
    ),
    Parameter(
        "after_batch", str, False,
        Option("Run it once no other job of this batch is open.", metavar="NAME"),
    ),
)  # fmt: skip
"""What a declaration may ask for, and no class."""
TERM_OPTIONS = (
    *OWN,
    *(
        Parameter(
            term.name, int if term.type is int else str, False,
            Option(term.help, metavar=METAVARS.get(term.type, term.name.upper())),
        )
        for term in TERMS
    ),
    *(
        Parameter(
            term.name, int if term.type is int else str, term.type is dict,
            Option(term.help, metavar=term.metavar),
        )
        for term in FLOW_TERMS
    ),
)  # fmt: skip
"""What each declaring command takes of a declaration's terms."""
DURATIONS = {term.name for term in TERMS if term.type is float}


def options_from(given: Mapping[str, Any]) -> Options:
    """Options of a declaration, as a command line or a batch spells them; raises BadOption."""
    delay, at = given.get("delay"), given.get("at")
    if delay is not None and at is not None:
        raise BadOption("give either --in or --at, not both")
    terms: dict[str, Any] = {term.name: given.get(term.name) for term in TERMS}
    for key in DURATIONS:
        if (text := terms[key]) is not None:
            terms[key] = duration(text, f"--{key.replace('_', '-')}")
    for key in FLOW_NAMES:
        terms[key] = given.get(key)
    if isinstance(terms["needs"], list):
        terms["needs"] = _amounts(terms["needs"])
    return Options(
        delay=None if delay is None else duration(delay, "--in"),
        at=None if at is None else moment(at, "--at"),
        label=given.get("label"),
        batch=given.get("batch"),
        coalesce=given.get("coalesce"),
        replace=bool(given.get("replace")),
        hold=bool(given.get("hold")),
        expires=None if given.get("expires") is None else expiry(given["expires"], "--expires"),
        after=given.get("after") or (),
        if_parent_fails=given.get("if_parent_fails") or NO_OPTIONS.if_parent_fails,
        after_batch=given.get("after_batch"),
        **terms,
    )


def _amounts(pairs: list[str]) -> dict[str, str]:
    amounts: dict[str, str] = {}
    for pair in pairs:
        name, equals, amount = pair.partition("=")
        if not equals:
            raise BadOption(f"--needs: {quoted(pair)} has no amount; write gpu=1 or memory=4G")
        if name in amounts:
            raise BadOption(f"--needs: {quoted(name)} is given twice; give it once")
        amounts[name] = amount
    return amounts


def expiry(text: str, flag: str) -> float | datetime:
    """A time as people write it: so many seconds from now, or a moment; raises BadOption."""
    try:
        return duration(text, flag)
    except BadOption:
        return datetime.fromtimestamp(moment(text, flag), UTC)


def read_all(source: str) -> str:
    """The text itself, that of `@file`, or stdin for `-`; refuses what no payload can fill."""
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        elif source.startswith("@"):
            with open(source[1:], "rb") as file:
                raw = file.read(MAX_INPUT_BYTES + 1)
        else:
            return source
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise RequestError(unreadable(source, error)) from None
    if len(raw) > MAX_INPUT_BYTES:
        raise BadPayload("the JSON is longer than 2 MiB; write it to a file and pass the path")
    return raw.decode("utf-8", "surrogateescape")


def unreadable(source: str, error: Exception) -> str:
    """What to say of a file that cannot be read."""
    return f"cannot read {quoted(source)}: {getattr(error, 'strerror', error)}; check the path"


def parse_json(text: str, what: str) -> Any:
    """The JSON value of a text; raises BadPayload, naming `what`, also for NaN and Infinity."""
    try:
        return _JSON.decode(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BadPayload(f"{what} is not JSON: {error.msg} at {where}; correct it") from None
    except BadPayload as error:
        raise BadPayload(f"{what} is not JSON: {error}; correct it") from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise BadPayload(f"{what}: a number has too many digits; write fewer") from None
    except RecursionError:
        raise BadPayload(f"{what} is nested too deeply; make it flatter") from None


def values(null: bool) -> Iterator[tuple[int, str]]:
    """The lines of stdin, or with `null` what stands between its NULs, numbered from 1.

    Empty ones are skipped. Raises BadPayload for one that no payload could hold.
    """
    end = b"\0" if null else b"\n"
    rest = b""
    number = 0
    read = sys.stdin.buffer.read1  # type: ignore[union-attr]
    while piece := read(READ_BYTES):
        *whole, rest = (rest + piece).split(end)
        for value in whole:
            number += 1
            if value:
                yield number, os.fsdecode(value)
        if len(rest) > MAX_PAYLOAD_BYTES:
            raise BadPayload(f"value {number + 1} is larger than 1 MiB; pass the path of a file")
    if rest:
        yield number + 1, os.fsdecode(rest)


def _no_constant(name: str) -> Any:
    raise BadPayload(f"{name} has no place in JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
