"""Values that text alone tells: constants, arithmetic, members of enumerations."""

from __future__ import annotations

import ast
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prokerja.catalog.annotations import ARITHMETIC
from prokerja.catalog.modules import Imported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.catalog.modules import Scope

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "max": max, "min": min, "int": int, "float": float, "str": str, "abs": abs, "round": round,
    "timedelta": timedelta,
}  # fmt: skip
ENUMERATIONS = {"StrEnum", "IntEnum"}
"""Their members are texts and numbers themselves; those of others are not."""
MAX_DEPTH = 50
MAX_STEPS = 100_000
"""Of one reading: what is built of names can be made to take for ever."""
MAX_CHARACTERS = 10_000


class Computed(Exception):
    """Only running the file can tell."""


def value_in(
    node: ast.AST | None, scope: Scope, members: Mapping[str, ast.AST], depth: int = 0
) -> Any:
    """What an expression in a class with these members stands for; raises Computed."""
    scope.modules.steps += 1
    if node is None or depth > MAX_DEPTH or scope.modules.steps > MAX_STEPS:
        raise Computed
    match node:
        case ast.Name(name):
            return _of_name(name, scope, members, depth + 1)
        case ast.Attribute():
            return _of_attribute(node, scope, depth + 1)
        case ast.BinOp(left, sign, right) if type(sign) in ARITHMETIC:
            pair = [value_in(side, scope, members, depth + 1) for side in (left, right)]
            if any(isinstance(one, str) and not isinstance(sign, ast.Add) for one in pair):
                raise Computed
            return _tried(ARITHMETIC[type(sign)], *pair)
        case ast.UnaryOp(ast.USub(), operand):
            return _tried(lambda number: -number, value_in(operand, scope, members, depth + 1))
        case ast.JoinedStr(parts):
            return "".join(_shown(part, scope, members, depth + 1) for part in parts)
        case ast.Call(ast.Attribute(owner, "total_seconds"), [], []):
            span = value_in(owner, scope, members, depth + 1)
            return _tried(timedelta.total_seconds, span)
        case ast.Call(function, given, named):
            return _of_call(function, given, named, scope, members, depth + 1)
    return _tried(ast.literal_eval, node)


def _of_name(name: str, scope: Scope, members: Mapping[str, ast.AST], depth: int) -> Any:
    if name in members:
        rest = {other: node for other, node in members.items() if other != name}
        return value_in(members[name], scope, rest, depth)
    found, where = resolved(name, scope)
    if where is None or not isinstance(found, ast.expr):
        raise Computed
    return value_in(found, where, {}, depth)


def _of_attribute(node: ast.Attribute, scope: Scope, depth: int) -> Any:
    owner, attribute = node.value, node.attr
    if isinstance(owner, ast.Attribute) and attribute == "value":
        found, where = reached(owner.value, scope)
        if isinstance(found, ast.ClassDef) and where is not None and _is_enumeration(found, ()):
            return value_in(_member(found, owner.attr), where, {}, depth)
    found, where = reached(owner, scope)
    if where is None:
        raise Computed
    if isinstance(found, ast.ClassDef):
        if (found.name, attribute) in where.changed or found.decorator_list:
            raise Computed
        if _is_enumeration(found, ()) and not _is_enumeration(found, ENUMERATIONS):
            raise Computed  # a member is neither a text nor a number
        return value_in(_member(found, attribute), where, _plain_members(found), depth)
    if isinstance(found, Imported):
        return _of_name(attribute, where, {}, depth)
    raise Computed


def _of_call(
    function: ast.expr, given: list[ast.expr], named: list[ast.keyword], scope: Scope,
    members: Mapping[str, ast.AST], depth: int,
) -> Any:  # fmt: skip
    name = external(function, scope).rpartition(".")[2]
    if name not in FUNCTIONS:
        raise Computed
    values = [value_in(one, scope, members, depth) for one in given]
    keywords = {one.arg or "": value_in(one.value, scope, members, depth) for one in named}
    return _tried(FUNCTIONS[name], *values, **keywords)


def resolved(name: str, scope: Scope) -> tuple[ast.AST | Imported | None, Scope | None]:
    """What a name of a file is bound to, and in which file; a module of ours with its own."""
    for _ in range(MAX_DEPTH):
        bound = scope.names.get(name)
        if not isinstance(bound, Imported):
            return bound, scope
        other = scope.modules.scope(bound.module) if os.path.isabs(bound.module) else None
        if other is None or bound.name is None:
            return bound, other
        name, scope = bound.name, other
    return None, None


def reached(node: ast.expr, scope: Scope) -> tuple[ast.AST | Imported | None, Scope | None]:
    """The same of a dotted name."""
    match node:
        case ast.Name(name):
            return resolved(name, scope)
        case ast.Attribute(owner, name):
            found, where = reached(owner, scope)
            if isinstance(found, Imported) and where is not None:
                return resolved(name, where)
    return None, None


def external(node: ast.expr, scope: Scope) -> str:
    """The full name of something from elsewhere, as `dataclasses.field`; `?` for what has none."""
    match node:
        case ast.Name(name):
            found, _ = resolved(name, scope)
            if found is None:
                return name
            if isinstance(found, Imported) and not os.path.isabs(found.module):
                return f"{found.module}.{found.name}" if found.name else found.module
        case ast.Attribute(owner, name):
            return f"{external(owner, scope)}.{name}"
        case ast.Subscript(inner) | ast.Call(inner):
            return external(inner, scope)
    return "?"


def _member(node: ast.ClassDef, name: str) -> ast.AST | None:
    return _plain_members(node).get(name)


def _plain_members(node: ast.ClassDef) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for statement in node.body:
        match statement:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(
                ast.Name(name), _, ast.expr() as value
            ):
                found[name] = value
    return found


def _is_enumeration(node: ast.ClassDef, kinds: Any) -> bool:
    names = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    if kinds:
        return bool(names & kinds) or bool(names & {"str", "int"})
    return any(name.endswith("Enum") for name in names)


def _shown(part: ast.expr, scope: Scope, members: Mapping[str, ast.AST], depth: int) -> str:
    match part:
        case ast.Constant(str(text)):
            return text
        case ast.FormattedValue(value, -1, None):
            return str(_tried(format, value_in(value, scope, members, depth)))
    raise Computed


def _tried(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        value = function(*given, **named)
        if not isinstance(value, str) or len(value) <= MAX_CHARACTERS:
            return value
    except (ArithmeticError, TypeError, ValueError, RecursionError, MemoryError):
        pass
    raise Computed
