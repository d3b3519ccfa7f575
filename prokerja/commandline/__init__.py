"""How a command says what it takes, and a quick way to read a plain command line.

Typer takes several times as long to import as a declaration takes to write. A command line
that means just one thing is read here; whatever else there is (help, a mistake, an
abbreviation) goes to Typer, which reads the same function and explains.
"""

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

from prokerja.text import quoted

Command = Callable[..., "int | None"]
REQUIRED = ...
"""Stands for the default of a parameter that has none."""
_WHOLE = r"[+-]?[0-9]{1,18}"


class Argument(NamedTuple):
    """Marks a parameter that is given by its place."""

    help: str
    metavar: str = ""
    rest: bool = False
    """Whether it takes all that follows its first word, be it an option or not."""


class Option(NamedTuple):
    """Marks a parameter that is given by its name, `--like-this`, and any other flags named."""

    help: str
    flags: tuple[str, ...] = ()
    metavar: str = ""


class Parameter(NamedTuple):
    """One parameter of a command."""

    name: str
    type: Any
    """str, int or bool."""
    many: bool
    marker: Argument | Option
    default: Any = None

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is written on the command line; nothing for an argument."""
        if isinstance(self.marker, Argument):
            return ()
        return self.marker.flags or (f"--{self.name.replace('_', '-')}",)


class Group(NamedTuple):
    """Marks a parameter that is made of several, which commands take together."""

    parameters: tuple[Parameter, ...]
    make: Callable[[Mapping[str, Any]], Any]
    """What the command gets, of their values by name; may raise ProkerjaError."""


def parameters(command: Command) -> list[Parameter]:
    """What a command takes, from its annotations; those of a group each by itself."""
    defaults = command.__kwdefaults__ or {}
    found: list[Parameter] = []
    for name, (kind, marker) in _markers(command).items():
        if isinstance(marker, Group):
            found.extend(marker.parameters)
        else:
            found.append(_parameter(name, kind, marker, defaults.get(name, REQUIRED)))
    return found


def call(command: Command, /, **given: Any) -> int:
    """Call a command with the values of its parameters, those of groups put together."""
    for name, (_, marker) in _markers(command).items():
        if isinstance(marker, Group):
            members = {p.name: given.pop(p.name, p.default) for p in marker.parameters}
            given[name] = marker.make(members)
    return command(**given) or 0


def parse(command: Command, words: Sequence[str]) -> dict[str, Any] | None:
    """The keyword arguments that these words mean; None if they are better left to Typer."""
    takes = parameters(command)
    options = {flag: parameter for parameter in takes for flag in parameter.flags}
    takes_rest = any(isinstance(p.marker, Argument) and p.marker.rest for p in takes)
    given: dict[str, Any] = {}
    places: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            places.extend(rest)
        elif word.startswith("-") and word != "-":
            flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            parameter = options.get(flag)
            if parameter is None or (parameter.type is bool and equals):
                return None
            followed = parameter.type is not bool and not equals
            if not _keep(given, parameter, next(rest, None) if followed else value):
                return None
        else:
            places.append(word)
            if takes_rest:
                places.extend(rest)
    return given if _keep_places(given, takes, places) else None


def parse_int(text: str) -> int:
    """The whole number that a text spells, if the store can hold it; ValueError otherwise."""
    if not re.fullmatch(_WHOLE, text):
        raise ValueError(f"{quoted(text)} is not a whole number (at most 18 digits)")
    return int(text)


@cache
def _markers(command: Command) -> dict[str, tuple[Any, ...]]:
    """The type and the marker of each parameter."""
    hints = typing.get_type_hints(command, include_extras=True)
    hints.pop("return", None)
    return {name: get_args(hint) for name, hint in hints.items()}


def _parameter(name: str, hint: Any, marker: Argument | Option, default: Any) -> Parameter:
    many = get_origin(hint) is list
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return Parameter(name, kinds[0], many, marker, default)


def _keep(given: dict[str, Any], parameter: Parameter, text: str | None) -> bool:
    if text is None:
        return False
    value: Any = text
    if parameter.type is bool:
        value = True
    elif parameter.type is int:
        try:
            value = parse_int(text)
        except ValueError:
            return False
    if parameter.many:
        given.setdefault(parameter.name, []).append(value)
    else:
        given[parameter.name] = value
    return True


def _keep_places(given: dict[str, Any], takes: list[Parameter], places: list[str]) -> bool:
    arguments = [parameter for parameter in takes if isinstance(parameter.marker, Argument)]
    for parameter in arguments:
        taken = places if parameter.many else places[:1]
        places = places[len(taken) :]
        if not taken and parameter.default is REQUIRED:
            return False
        if not all(_keep(given, parameter, text) for text in taken):
            return False
    return not places
