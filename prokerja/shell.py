"""Commands as jobs: what is stored of one, and how it reads."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja import declaring
from prokerja.errors import BadPayload
from prokerja.exit_codes import LATER
from prokerja.model.declaration import SHELL
from prokerja.options import Options
from prokerja.terms import DEFAULTS
from prokerja.text import quoted

if TYPE_CHECKING:
    from prokerja.model.declaration import Declaration

INTERPRETER = "/bin/sh"
MAX_STDIN_BYTES = 2**20
MAX_PAYLOAD_BYTES = 2 * declaring.MAX_PAYLOAD_BYTES
"""Bytes of JSON that a command may have: its stdin alone takes four thirds of a MiB."""
NAMED = (SHELL, *DEFAULTS.values())
"""Its name and its terms."""
OK, RETRY_ON = (0,), (LATER,)
"""The exit codes that mean success, and those that ask for a later attempt, if none are given."""


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and ("\0" in one or _can_be_passed(one)) for one in value
    )


def are_codes(value: Any) -> bool:
    """Whether this is a list of exit codes."""
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 256 for one in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and _can_be_passed(value)


def _can_be_passed(text: str) -> bool:
    """Whether a command can be given this text: the system takes bytes, but for NUL."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def _are_variables(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and "=" not in name and isinstance(one, str) and _can_be_passed(one)
        for name, one in value.items()
    )


SHAPES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("shell", lambda value: _is_text(value) or _are_texts(value), "a list of words, or a line"),
    ("cwd", _is_text, "the path of a directory"),
    ("env", _are_variables, "an object of names and texts"),
    ("stdin", lambda value: _is_text(value) and value != "-", "the path of a file"),
    ("ok", are_codes, "a list of exit codes"),
    ("retry_on", are_codes, "a list of exit codes"),
)
"""What a batch may say of a command."""
KEYS = frozenset(key for key, _, _ in SHAPES)


class Surroundings(NamedTuple):
    """What a command finds when it runs. Paths and values are as `names.portable` gives them."""

    cwd: str
    env: dict[str, str] = {}  # noqa: RUF012  nobody changes it
    """Variables beside those of the worker."""
    stdin: str | None = None
    """The file to read; nothing if None, unless `data` is given."""
    data: str | None = None
    """What to read instead of a file, in base64."""
    ok: Sequence[int] = OK
    retry_on: Sequence[int] = RETRY_ON


def payload_of(argv: Sequence[str], surroundings: Surroundings, line: str = "") -> dict[str, Any]:
    """What is stored of a command, or of a `line` for the shell; raises BadPayload.

    What is as usual is left out.
    """
    if not line and not (argv and argv[0]):
        raise BadPayload("there is no command; write it after --, as in: -- rsync -a src/ dst/")
    for word in (*argv, line):
        if "\0" in word:
            raise BadPayload("an argument contains a NUL, which no command can be given; remove it")
    if both := set(surroundings.ok) & set(surroundings.retry_on) - set(RETRY_ON):
        raise BadPayload(f"exit code {min(both)} cannot mean both success and a later attempt")
    given = surroundings._asdict()
    usual = Surroundings(surroundings.cwd)._asdict()
    rest = {key: given[key] for key in given if given[key] != usual[key]}
    what: dict[str, Any] = {"line": line} if line else {"argv": list(argv)}
    return {**what, "cwd": surroundings.cwd, **rest}


def declaration(payload: dict[str, Any], now: float, options: Options) -> "Declaration":
    """The declaration of a command; raises BadPayload, BadOption."""
    return declaring.of_named(NAMED, payload, now, options, MAX_PAYLOAD_BYTES)


def of_json(given: Mapping[str, Any], cwd: str) -> dict[str, Any]:
    """What is stored of a command that a batch describes; raises BadPayload.

    `given` has the keys `shell` (a list of words, or a line) and those of `Surroundings` but for
    `data`; `cwd` stands where it has none.
    """
    for key, fits, how in SHAPES:
        if key in given and not fits(given[key]):
            raise BadPayload(f"{key}: {quoted(str(given[key]))} does not fit; give {how}")
    what = given["shell"]
    if not what or not what[0]:
        raise BadPayload("shell: there is no command; give a list of words, or a line")
    rest = {key: given[key] for key in ("env", "stdin", "ok", "retry_on") if key in given}
    if "stdin" in rest:
        rest["stdin"] = os.path.join(cwd, rest["stdin"])
    surroundings = Surroundings(os.path.join(cwd, given.get("cwd", "")), **rest)
    words, line = ([], what) if isinstance(what, str) else (what, "")
    return payload_of(words, surroundings, line)


def title(payload: Any) -> str:
    """A command as one would type it; empty for what is none of ours."""
    if not isinstance(payload, dict):
        return ""
    if "line" in payload:
        return str(payload["line"])
    argv = payload.get("argv")
    if not isinstance(argv, list):
        return ""
    from shlex import join

    return join(map(str, argv))
