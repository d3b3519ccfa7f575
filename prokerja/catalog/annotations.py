"""Annotations, defaults and docstrings, read as what a payload may hold."""

from __future__ import annotations

import ast
import json
import operator
import warnings
from functools import reduce
from typing import Any

from prokerja.spec import Field, fits
from prokerja.text import escaped

REQUIRED = object()
"""Stands for the default of a field that has none."""
COMPUTED = object()
"""Stands for a default that is known only when the code runs."""

SCALARS = {
    "str": "string",
    "Path": "string",
    "PurePath": "string",
    "PathLike": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
}
ARRAYS = {"list", "tuple", "set", "frozenset", "List", "Tuple", "Set", "FrozenSet"}
ARRAYS |= {"AbstractSet", "MutableSet", "Sequence", "MutableSequence"}
OBJECTS = {"dict", "Dict", "Mapping", "MutableMapping"}
WRAPPERS = {"InitVar", "Final", "Required", "NotRequired", "ReadOnly"}
"""What says nothing of the values."""
ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
UNREADABLE = (SyntaxError, TypeError, ValueError, RecursionError, MemoryError)


def field_of(name: str, annotation: str, default: Any = REQUIRED) -> Field:
    """A field from its annotation's text (empty for none) and its default, which always fits."""
    schema, required = schema_of(annotation), default is REQUIRED
    value, text = (None, "") if required else _default(default)
    if text not in ("", "...") and not fits(value, schema):  # `n: int = None`
        schema = {"anyOf": [*schema.get("anyOf", [schema]), {"enum": [value]}]}
    return Field(name, spelled(annotation), schema, required, value, text)


def schema_of(text: str) -> dict[str, Any]:
    """The JSON Schema of what an annotation allows; `{}`, anything, if that is unclear."""
    try:
        return _schema(_plain(_expression(text)))
    except UNREADABLE:
        return {}


def spelled(text: str) -> str:
    """An annotation in the one way it is shown: no module names, no quotes, `|` for Union."""
    try:
        return escaped(ast.unparse(_plain(_expression(text))))
    except UNREADABLE:
        return escaped(text)


def headline(doc: str | None) -> str:
    """The first line of a docstring."""
    lines = (line.strip() for line in (doc or "").splitlines())
    return escaped(next(filter(None, lines), ""))


def json_value(value: Any) -> Any:
    """The value, if JSON carries it unchanged between processes; else one of UNREADABLE."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    copy = json.loads(text, parse_int=_integer)
    if copy != value:
        raise ValueError("JSON would change it")
    return copy


def value_of(node: ast.AST | None) -> Any:
    """What a literal, or arithmetic with numbers, stands for; REQUIRED without a node."""
    if node is None:
        return REQUIRED
    try:
        return _evaluated(node)
    except (ArithmeticError, *UNREADABLE):
        return COMPUTED


def parse(source: str | bytes, mode: str = "exec") -> Any:
    """The syntax tree, without a word on stderr about doubtful escapes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


def _evaluated(node: ast.AST) -> Any:
    match node:
        case ast.BinOp(left, sign, right) if type(sign) in ARITHMETIC:
            return ARITHMETIC[type(sign)](_number(left), _number(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -_number(operand)
    return ast.literal_eval(node)


def _number(node: ast.expr) -> int | float:
    value = _evaluated(node)
    if isinstance(value, int | float):
        return value
    raise ValueError("no number")


def _expression(text: str) -> ast.expr:
    tree: ast.Expression = parse(text.strip(), "eval")
    return tree.body


def _plain(node: ast.expr) -> ast.expr:
    match node:
        case ast.Attribute(attr=name):
            return _plain(ast.Name(name))
        case ast.Name("NoneType"):
            return ast.Constant(None)
        case ast.Constant(str(text)):
            return _unquoted(text)
        case ast.Call(ast.Name("ForwardRef") | ast.Attribute(attr="ForwardRef"), [quoted, *_]):
            return _plain(quoted)
        case ast.BinOp(left, ast.BitOr(), right):
            return _union([_plain(left), _plain(right)])
        case ast.Tuple(items):
            return ast.Tuple([_plain(item) for item in items])
        case ast.List(items):
            return ast.List([_plain(item) for item in items])
        case ast.Subscript(base, index):
            return _plain_subscript(_plain(base), index)
    return node


def _unquoted(text: str) -> ast.expr:
    try:
        return _plain(_expression(text))
    except UNREADABLE:  # a remark, not a type
        return ast.Name(text)


def _plain_subscript(base: ast.expr, index: ast.expr) -> ast.expr:
    match base:
        case ast.Name("Literal"):  # whose strings are values, not types in quotes
            return ast.Subscript(base, index)
        case ast.Name("Optional"):
            return _union([_plain(index), ast.Constant(None)])
        case ast.Name("Union"):
            return _union(_items(_plain(index)))
        case ast.Name(name) if name in WRAPPERS:
            return _plain(index)
        case ast.Name("Annotated"):
            return _plain(_items(index)[0])
    return ast.Subscript(base, _plain(index))


def _union(nodes: list[ast.expr]) -> ast.expr:
    """`A | B`, each once, with None last: typing reorders and merges them likewise."""
    members = {ast.unparse(member): member for node in nodes for member in _members(node)}
    none = members.pop("None", None)
    ordered = [*members.values(), *([none] if none else [])]
    return reduce(lambda left, right: ast.BinOp(left, ast.BitOr(), right), ordered)


def _members(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return [*_members(left), *_members(right)]
    return [node]


def _items(index: ast.expr) -> list[ast.expr]:
    return index.elts if isinstance(index, ast.Tuple) else [index]


def _schema(node: ast.expr) -> dict[str, Any]:
    match node:
        case ast.Constant(None):
            return {"type": "null"}
        case ast.BinOp(_, ast.BitOr(), _):
            return _any_of(_members(node))
        case ast.Subscript(ast.Name("Literal"), index):
            return _enum(_items(index))
        case ast.Subscript(ast.Name("PathLike")):
            return {"type": "string"}
        case ast.Name(name) | ast.Subscript(ast.Name(name)) if name in ARRAYS:
            return _holding("array", "items", _elements(node))
        case ast.Name(name) if name in OBJECTS:
            return {"type": "object"}
        case ast.Subscript(ast.Name(name), ast.Tuple([ast.Name("str" | "Any"), value])):
            return _holding("object", "additionalProperties", [value]) if name in OBJECTS else {}
        case ast.Name(name) if name in SCALARS:
            return {"type": SCALARS[name]}
    return {}


def _elements(node: ast.expr) -> list[ast.expr]:
    items = _items(node.slice) if isinstance(node, ast.Subscript) else []
    return [item for item in items if not isinstance(item, ast.Constant) or item.value is not ...]


def _holding(kind: str, key: str, nodes: list[ast.expr]) -> dict[str, Any]:
    schema = _any_of(nodes)
    return {"type": kind, key: schema} if schema else {"type": kind}


def _any_of(nodes: list[ast.expr]) -> dict[str, Any]:
    schemas: list[dict[str, Any]] = []
    for schema in map(_schema, nodes):
        if schema not in schemas:
            schemas.append(schema)
    if not schemas or {} in schemas:
        return {}
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _enum(nodes: list[ast.expr]) -> dict[str, Any]:
    return {"enum": json_value([ast.literal_eval(node) for node in nodes])}


def _default(value: Any) -> tuple[Any, str]:
    try:
        value = json_value(value)
    except UNREADABLE:
        return None, "..."
    return value, repr(value)


def _integer(digits: str) -> int:
    number = int(digits)
    if number.bit_length() < 64:
        return number
    raise ValueError("too large")
