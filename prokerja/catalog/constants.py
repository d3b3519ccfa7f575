"""Values that text alone tells: constants, arithmetic, members of enumerations."""

from __future__ import annotations

import ast
import operator
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from prokerja.catalog.annotations import ARITHMETIC
from prokerja.catalog.bindings import Foreign, Known, Unknown
from prokerja.catalog.classes import Class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prokerja.catalog.classes import Bound

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "builtins.max": max, "builtins.min": min, "builtins.int": int, "builtins.float": float,
    "builtins.str": str, "builtins.abs": abs, "builtins.round": round,
    "datetime.timedelta": timedelta,
}  # fmt: skip
FACTS: Mapping[str, Any] = {
    "typing.TYPE_CHECKING": False,
    "sys.version_info": tuple(sys.version_info),
    "sys.platform": sys.platform,
    "os.name": os.name,
}
"""What is the same wherever the file is imported."""
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
MAX_CHARACTERS = 10_000
MAX_BITS = 10_000


class Names(Protocol):
    """Where an expression stands."""

    def look_up(self, name: str) -> Bound:
        """What the name is bound to there and then."""

    def attribute(self, owner: Bound, name: str) -> Bound:
        """What the attribute of something is."""


def evaluate(node: ast.expr, names: Names) -> Bound:
    """What an expression stands for."""
    found = _evaluated(node, names)
    if isinstance(found, Foreign) and found.name in FACTS:
        return Known(FACTS[found.name])
    return found


def _evaluated(node: ast.expr, names: Names) -> Bound:
    match node:
        case ast.Constant(value):
            return Known(value)
        case ast.Name(name):
            return names.look_up(name)
        case ast.Attribute(ast.Attribute(owner, member), "value"):
            cls = evaluate(owner, names)
            if isinstance(cls, Class) and cls.is_enumeration():
                return cls.value_of_member(member)
        case ast.Attribute(owner, name):
            return names.attribute(evaluate(owner, names), name)
        case ast.Call(ast.Attribute(owner, "total_seconds"), [], []):
            return _tried(timedelta.total_seconds, [owner], names, node)
        case ast.Call(function, given, named):
            return _called(node, evaluate(function, names), given, named, names)
        case ast.Compare(left, [sign], [right]) if type(sign) in COMPARISONS:
            return _tried(COMPARISONS[type(sign)], [left, right], names, node)
    return _operated(node, names)


def _operated(node: ast.expr, names: Names) -> Bound:
    match node:
        case ast.BinOp(left, sign, right) if type(sign) in ARITHMETIC:
            return _tried(_arithmetic(sign), [left, right], names, node)
        case ast.UnaryOp(ast.USub(), operand):
            return _tried(operator.neg, [operand], names, node)
        case ast.UnaryOp(ast.Not(), operand):
            return _tried(operator.not_, [operand], names, node)
        case ast.Tuple(items):
            return _tried(lambda *values: values, items, names, node)
        case ast.JoinedStr(parts):
            return _tried(lambda *texts: "".join(texts), parts, names, node)
        case ast.FormattedValue(value, -1, None):
            return _tried(format, [value], names, node)
    return Unknown(node)


def _called(
    node: ast.expr, function: Bound, given: list[ast.expr], named: list[ast.keyword], names: Names
) -> Bound:
    if not isinstance(function, Foreign):
        return Unknown(node)
    called = FUNCTIONS.get(function.name)
    if called is None or not all(keyword.arg for keyword in named):
        return Unknown(node, function.name)
    keys = [str(keyword.arg) for keyword in named]

    def call(*values: Any) -> Any:
        first = len(given)
        return called(*values[:first], **dict(zip(keys, values[first:], strict=True)))

    return _tried(call, [*given, *(keyword.value for keyword in named)], names, node)


def _arithmetic(sign: ast.operator) -> Callable[[Any, Any], Any]:
    def calculate(left: Any, right: Any) -> Any:
        if not isinstance(sign, ast.Add) and any(
            isinstance(one, str | tuple | bytes) for one in (left, right)
        ):
            raise ValueError("a repetition may be long")
        return ARITHMETIC[type(sign)](left, right)

    return calculate


def _tried(
    function: Callable[..., Any], given: list[ast.expr], names: Names, node: ast.expr
) -> Bound:
    values = [evaluate(one, names) for one in given]
    known = [one.value for one in values if isinstance(one, Known)]
    if len(known) < len(values):
        return Unknown(node)
    try:
        value = function(*known)
    except Exception:  # noqa: BLE001  importing the file would raise it
        return Unknown(node)
    if isinstance(value, str | tuple) and len(value) > MAX_CHARACTERS:
        return Unknown(node)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return Unknown(node)
    return Known(value)
