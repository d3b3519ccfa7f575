"""`prokerja declare:batch`: register many requests from JSON Lines, all or nothing."""

from __future__ import annotations

import os
import shlex
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from msgspec.json import decode

from prokerja import shell
from prokerja.commandline import Argument, Option
from prokerja.commandline.input import (
    DURATIONS,
    MAX_INPUT_BYTES,
    options_from,
    parse_json,
    unreadable,
)
from prokerja.commands import Json, Place, Start, Wait
from prokerja.commands.declared import (
    Needs,
    coalesced_json,
    start_worker,
    tell_of_pauses,
    wait_for,
)
from prokerja.console import hint, plural, print_json, with_progress
from prokerja.declaring import of_spec
from prokerja.errors import ProkerjaError, RequestError
from prokerja.names import portable
from prokerja.options import NO_OPTIONS, Options
from prokerja.queue import Queue
from prokerja.terms import DEFAULTS, FLOW_NAMES
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.catalog.refresh import KnownJob
    from prokerja.model.declaration import Declaration

TEXTS = ("in", "at", "expires", *DURATIONS)
FLAGS = ("hold", "replace")
KEYS = frozenset(
    ["job", "payload", "label", "batch", "coalesce", "after", "if_parent_fails", "after_batch",
     *TEXTS, *FLAGS, *DEFAULTS, *FLOW_NAMES]
)  # fmt: skip
COMMAND_KEYS = KEYS - {"job", "payload"} | shell.KEYS


def run(
    *,
    file: Annotated[str, Argument("JSON Lines, or - for stdin.", "[FILE]")] = "-",
    name: Annotated[
        str | None,
        Option("The batch of all that say none themselves; see `report --batch`.", metavar="NAME"),
    ] = None,
    then: Annotated[
        str | None,
        Option(
            "Run this when all of the batch have ended: a job with its key=value pairs, or -- and"
            " a command.",
            metavar="WORDS",
        ),
    ] = None,
    ids: Annotated[bool, Option("Print each id, one a line.")] = False,
    wait: Wait = False,
    start: Start = False,
    place: Place,
    json: Json = False,
) -> int:
    """Declare many jobs from JSON Lines, all or nothing.

    Prints how many, the first id and the last.

    Example: prokerja declare:batch jobs.jsonl --name nightly --then 'mail to=me'
    """
    if wait and (json or ids):
        raise RequestError("--wait shows what comes of the jobs, and the others their ids; use one")
    if then is not None and name is None:
        raise RequestError("--then goes with --name, which says what is to end; add --name NAME")
    now = time.time()
    with Queue.of(place) as queue:
        known = cache(queue.known_job)
        with _opened(file) as source:
            given = _declarations(source, known, now, name, then)
            needs = Needs()
            declarations = with_progress(needs.noted(given), "read")
            done = queue.register(declarations, now)
        tell_of_pauses(queue, done)
        needs.warn(place)
        if start:
            start_worker(queue, place)
        if wait:
            return wait_for(queue, done, "") if done else 0
    if json:
        span = {"first": done[0], "last": done[-1]} if done else {"first": None, "last": None}
        coalesced = coalesced_json(done, single=False)
        listed = {"ids": list(done)} if ids or coalesced else {}
        print_json({"count": len(done), **span, **listed, **coalesced})
    elif ids:
        sys.stdout.writelines(f"{id}\n" for id in done)
    elif done:
        print(f"{len(done)} {done[0]} {done[-1]}")
    else:
        print("0")
    hint(f"Declared {plural(len(done), 'job')}." if done else "Declared nothing: no lines came.")
    return 0


def _opened(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return open(file, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise RequestError(unreadable(file, error)) from None


def _declarations(
    source: BinaryIO,
    known: Callable[[str], KnownJob],
    now: float,
    name: str | None,
    then: str | None,
) -> Iterator[Declaration]:
    number = 0
    last = None if then is None else _successor(then, known, now, name)
    while line := source.readline(MAX_INPUT_BYTES + 1):
        number += 1
        if line.strip():
            try:
                yield _declaration(line, known, now, name)
            except ProkerjaError as error:
                raise type(error)(f"line {number}: {error}") from None
    if number and last is not None:
        yield last


def _successor(
    words: str, known: Callable[[str], KnownJob], now: float, batch: str | None
) -> Declaration:
    """What is to run when all of a batch have ended."""
    options = Options(after_batch=batch)
    try:
        given = shlex.split(words)
    except ValueError as error:
        raise RequestError(f"--then: {quoted(words)} cannot be split: {error}") from None
    if not given:
        raise RequestError(f"--then: {quoted(words)} names nothing to run; write a job's name")
    first, *rest = given
    if first == "--":
        surroundings = shell.Surroundings(portable(os.getcwd()))
        payload = shell.payload_of(list(map(portable, rest)), surroundings)
        return shell.declaration(payload, now, options)
    spec, directory = known(first)
    return of_spec(spec, spec.read(rest), now, options, directory)


def _declaration(
    line: bytes, known: Callable[[str], KnownJob], now: float, batch: str | None
) -> Declaration:
    if len(line) > MAX_INPUT_BYTES:
        raise RequestError("the line is longer than 2 MiB; pass the path of a file instead")
    given = _read(line)
    is_command = isinstance(given, dict) and "shell" in given
    if not is_command and not (isinstance(given, dict) and isinstance(given.get("job"), str)):
        raise RequestError('the line is not a declaration; write {"job": NAME, "payload": {…}}')
    if is_command and "job" in given:
        raise RequestError("the line has both a job and a command; give one of the keys")
    keys = COMMAND_KEYS if is_command else KEYS
    unknown = given.keys() - keys
    if unknown:
        names = ", ".join(quoted(key) for key in sorted(unknown))
        raise RequestError(f"unknown key {names}; there are {', '.join(sorted(keys))}")
    if is_command:
        payload = shell.of_json(given, portable(os.getcwd()))
        return shell.declaration(payload, now, _options(given, batch))
    spec, directory = known(given["job"])
    return of_spec(spec, given.get("payload", {}), now, _options(given, batch), directory)


def _read(line: bytes) -> Any:
    """The line's value; what the quick parser refuses, the one that explains judges."""
    try:
        return decode(line)
    except (ValueError, RecursionError):
        return parse_json(line.decode("utf-8", "surrogateescape"), "the line")


def _options(given: dict[str, Any], batch: str | None) -> Options:
    if given.keys() <= {"job", "payload"}:
        return NO_OPTIONS if batch is None else Options(batch=batch)
    texts = {key: _text(given.get(key), key) for key in TEXTS}
    for key in FLAGS:
        if not isinstance(given.get(key, False), bool):
            raise RequestError(f"{key}: {quoted(str(given[key]))} is neither true nor false")
    after = given.get("after", ())
    if not isinstance(after, (int, list, tuple)):
        raise RequestError(f"after: {quoted(str(after))} is neither an id nor a list of ids")
    return options_from({"batch": batch, **given, **texts, "delay": texts["in"]})


def _text(value: Any, key: str) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and key != "at":
        return f"{value:f}" if isinstance(value, float) else str(value)
    if value is None or isinstance(value, str):
        return value
    raise RequestError(f"{key}: {quoted(str(value))} is not text; write it like the option --{key}")
