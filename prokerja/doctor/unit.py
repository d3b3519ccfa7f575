"""What a systemd unit says of the worker that it starts, as far as it can be read simply."""

from __future__ import annotations

import os
import shlex
import shutil
from collections import defaultdict
from glob import glob
from typing import NamedTuple

PREFIXES = "@-:+!|"
"""What may stand before a command, for systemd."""
ENV = "env"
"""The program that finds another in PATH."""


class Unit(NamedTuple):
    """A unit, of which only the `[Service]` counts."""

    program: str = ""
    """The path of what it starts, or its name if it is nowhere in PATH."""
    db: str = ""
    """The file that its command or its environment names."""
    user: str = ""
    fault: str = ""
    """Why it cannot be read."""


def read_unit(path: str) -> Unit:
    """What a unit says, together with the files in its `.d` folder."""
    given: defaultdict[str, list[str]] = defaultdict(list)
    try:
        for file in (path, *sorted(glob(f"{path}.d/*.conf"))):
            _read(file, given)
        words = shlex.split(given["ExecStart"][-1]) if given["ExecStart"] else []
        environment = _environment(given)
    except (OSError, ValueError) as error:
        return Unit(fault=f"it cannot be read ({error})")
    words = [_expanded(word) for word in words]
    if words:
        words[0] = words[0].lstrip(PREFIXES)
    if words and os.path.basename(words[0]) == ENV:
        words = words[1:]
        while words and "=" in words[0]:
            key, _, value = words.pop(0).partition("=")
            environment[key] = value
    program = words[0] if words else ""
    db = _option("--db", words) or environment.get("PROKERJA_DB", "")
    return Unit(_found(program), db, "".join(given["User"][-1:]))


def _read(file: str, given: defaultdict[str, list[str]]) -> None:
    """Add what a file says to what was said before; an empty value takes that back."""
    with open(file, encoding="utf-8") as lines:
        text = lines.read().replace("\\\n", " ")
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            key, _, value = map(str.strip, line.partition("="))
            given[key] = [*given[key], value] if value else []


def _environment(given: defaultdict[str, list[str]]) -> dict[str, str]:
    words = [word for value in given["Environment"] for word in shlex.split(value)]
    for value in given["EnvironmentFile"]:
        file = value.removeprefix("-")
        if os.path.isfile(file):
            with open(file, encoding="utf-8") as lines:
                words += [word for line in lines for word in shlex.split(line, comments=True)]
        elif file == value and "%" not in file:
            raise ValueError(f"there is no file {file}")
    pairs = (word.partition("=") for word in words)
    return {key: _expanded(value) for key, _, value in pairs}


def _expanded(word: str) -> str:
    """With the home directory in its place; other specifiers are left as they are."""
    return word.replace("%h", os.path.expanduser("~")).replace("%%", "%")


def _option(flag: str, words: list[str]) -> str:
    for place, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag:
            return "".join(words[place + 1 : place + 2])
    return ""


def _found(program: str) -> str:
    return program if os.path.isabs(program) else shutil.which(program) or program
