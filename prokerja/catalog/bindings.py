"""What a name in a job file may be bound to, as far as its text tells."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple


class Known(NamedTuple):
    """A constant."""

    value: Any


class Unknown(NamedTuple):
    """A value that only running the file can tell."""

    node: ast.expr | None = None
    """The expression that it comes from, if there is just one."""
    function: str = ""
    """The full name of what that expression calls."""


class Function(NamedTuple):
    """A function or method."""

    node: ast.FunctionDef | ast.AsyncFunctionDef


class Foreign(NamedTuple):
    """Something that is not in the jobs directory, by its full name, as `dataclasses.field`."""

    name: str


class Ours(NamedTuple):
    """A module of the jobs directory."""

    file: str | None
    folder: str | None
    """Where its submodules are, if it may have any."""


def bound_names(*parts: ast.AST) -> set[str]:
    """Every name that statements or expressions may bind, whether they do or not."""
    found: set[str] = set()
    for part in parts:
        for node in ast.walk(part):
            match node:
                case ast.Name(name, ast.Store() | ast.Del()) | ast.ClassDef(name):
                    found.add(name)
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                    found.add(name)
                case ast.alias(name, asname):
                    found.add(asname or name.partition(".")[0])
                case ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
                    found.add(name)
                case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    found.add(name)
    return found
