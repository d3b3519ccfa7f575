"""`prokerja declare:shell`: register a command to be run, and return at once."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

from prokerja import shell
from prokerja.commandline import Argument, Group, Option, parse_int
from prokerja.commandline.input import TERM_OPTIONS, options_from, values
from prokerja.commands import Json, Null, Place, Start, Wait
from prokerja.commands.declared import Needs, show_declared, start_worker, tell_of_pauses, wait_for
from prokerja.errors import BadOption, BadPayload, ProkerjaError, RequestError
from prokerja.names import portable
from prokerja.options import Options
from prokerja.queue import Queue
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prokerja.model.declaration import Declaration


def run(
    *,
    command: Annotated[
        list[str], Argument("The command and its arguments.", "[--] COMMAND...", rest=True)
    ] = [],  # noqa: B006
    sh: Annotated[str | None, Option("Run this line with /bin/sh instead.", metavar="LINE")] = None,
    cwd: Annotated[
        str | None, Option("The directory to run it in; default: this one.", metavar="DIR")
    ] = None,
    env: Annotated[
        list[str],
        Option("Set a variable; by its name alone: as it is here.", metavar="NAME[=VALUE]"),
    ] = [],  # noqa: B006
    stdin: Annotated[
        str | None,
        Option(
            "A file to read, opened when it runs; - keeps what is read here, up to 1 MiB.",
            metavar="FILE",
        ),
    ] = None,
    each: Annotated[
        str | None,
        Option("One job for each line of stdin, in place of WORD, such as {}.", metavar="WORD"),
    ] = None,
    null: Null = False,
    ok: Annotated[
        str | None, Option("Exit codes that mean success; default: 0.", metavar="CODES")
    ] = None,
    retry_on: Annotated[
        str | None, Option("Exit codes that mean `try again later`; default: 75.", metavar="CODES")
    ] = None,
    options: Annotated[Options, Group(TERM_OPTIONS, options_from)],
    wait: Wait = False,
    start: Start = False,
    place: Place,
    json: Json = False,
) -> int:
    """Register a command to be run, and print its id.

    It runs without a shell, in this directory, with the worker's environment. Exit code 0 means
    completed, 75 later, 65 never; any other is retried as --retries says.

    Example: prokerja declare:shell --retries 3 -- rsync -a src/ far:dst/
    """
    now = time.time()
    if wait and json:
        raise RequestError("--wait shows what the job prints, and --json its id; use one")
    if null and each is None:
        raise RequestError("-0 goes with --each; leave it out, or add --each {}")
    if sh is not None and command:
        raise RequestError("the command is given both by --sh and by its words; use one")
    if each is not None and stdin == "-":
        raise RequestError("--stdin - and --each both read stdin; use one, or --stdin FILE")
    data = None if stdin != "-" else _read_stdin()
    surroundings = shell.Surroundings(
        cwd=portable(os.path.abspath(cwd or _here())),
        env=dict(map(_variable, env)),
        stdin=None if stdin in (None, "-") else portable(os.path.abspath(str(stdin))),
        data=data,
        ok=shell.OK if ok is None else _codes(ok, "--ok"),
        retry_on=shell.RETRY_ON if retry_on is None else _codes(retry_on, "--retry-on"),
    )
    argv, line = list(map(portable, command)), portable(sh or "")
    needs = Needs()
    with Queue.of(place) as queue:
        if each is None:
            payload = shell.payload_of(argv, surroundings, line)
            one = shell.declaration(payload, now, options)
            ids = queue.register(tuple(needs.noted((one,))), now)
        else:
            made = _each(argv, line, surroundings, each, null=null, now=now, options=options)
            ids = queue.register(needs.noted(made), now)
        tell_of_pauses(queue, ids)
        needs.warn(place)
        if start:
            start_worker(queue, place)
        if wait:
            return wait_for(queue, ids, "shell")
        show_declared(queue, ids, "shell", single=each is None, json=json)
    return 0


def _each(
    argv: list[str],
    line: str,
    surroundings: shell.Surroundings,
    word: str,
    *,
    null: bool,
    now: float,
    options: Options,
) -> Iterator[Declaration]:
    if not word:
        raise RequestError("--each needs a word to replace; write --each {}")
    if line:
        raise RequestError(
            "--each does not go with --sh, whose shell would read the value as"
            " code; write: -- sh -c 'LINE' sh {}, and \"$1\" in the line"
        )
    given = argv if any(word in one for one in argv) else [*argv, word]
    for number, value in values(null):
        try:
            words = [one.replace(word, portable(value)) for one in given]
            yield shell.declaration(shell.payload_of(words, surroundings), now, options)
        except ProkerjaError as error:
            raise type(error)(f"value {number}: {error}") from None


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise RequestError("this directory is gone; go elsewhere, or pass --cwd DIR") from None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise BadOption(f"--env: {quoted(text)} has no name; write NAME=VALUE or NAME")
    if not equals:
        if name not in os.environ:
            raise BadOption(f"--env: {quoted(name)} is not set here; write {name}=VALUE")
        value = os.environ[name]
    return portable(name), portable(value)


def _codes(text: str, flag: str) -> Sequence[int]:
    try:
        codes = [parse_int(one) for one in text.split(",")]
    except ValueError:
        codes = [-1]
    if not shell.are_codes(codes):
        raise BadOption(f"{flag}: {quoted(text)} is no list of exit codes; write it like 0,1")
    return codes


def _read_stdin() -> str:
    raw = sys.stdin.buffer.read(shell.MAX_STDIN_BYTES + 1)
    if len(raw) > shell.MAX_STDIN_BYTES:
        raise BadPayload("stdin is longer than 1 MiB; write it to a file and pass --stdin FILE")
    from base64 import b64encode

    return b64encode(raw).decode()
