"""What the constructor of a class takes, as the text of its file tells."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.catalog.annotations import COMPUTED, field_of, value_of
from prokerja.catalog.bindings import Function, Known, Unknown
from prokerja.catalog.classes import short

if TYPE_CHECKING:
    from prokerja.catalog.classes import Bound, Class
    from prokerja.spec import Field

CONSTRUCTING = ("__init__", "__new__", "__signature__")
"""What has a say in what a class takes."""


class Slot(NamedTuple):
    """A field of a dataclass."""

    field: Field
    init: bool
    by_name: bool


def slots_of(cls: Class) -> dict[str, Slot | None]:
    """The fields that a class has as a dataclass, inherited ones first; None for a ClassVar."""
    nearest = next((one for one in cls.own if one.dataclass), None)
    slots: dict[str, Slot | None] = {}
    for one in reversed(nearest.own if nearest else []):
        if one.dataclass:
            _add_slots(slots, one)
    return slots


def constructor(cls: Class) -> tuple[list[Field], bool]:
    """What the constructor takes, and whether it takes anything else too."""
    for one in cls.own:
        init = one.names.get("__init__")
        if isinstance(init, Function):
            return _parameters(init.node.args), init.node.args.kwarg is not None
        if one.dataclass and _flag(one.dataclass, "init", default=True):
            slots = [slot for slot in slots_of(one).values() if slot and slot.init]
            return [slot.field for slot in sorted(slots, key=lambda slot: slot.by_name)], False
    return [], False


def is_unclear(cls: Class) -> bool:
    """Whether only running the file can tell what the constructor takes."""
    for one in cls.own:
        methods = [one.names.get(name) for name in CONSTRUCTING]
        init = methods[0]
        is_plain = init is None or (isinstance(init, Function) and not init.node.decorator_list)
        if not is_plain or any(methods[1:]) or not one.changed.isdisjoint(CONSTRUCTING):
            return True
        if one.dataclass and (_is_computed(one.dataclass) or _has_choices(one.node)):
            return True
    return False


def _is_computed(decorator: ast.expr) -> bool:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return not all(one.arg and isinstance(one.value, ast.Constant) for one in keywords)


def _has_choices(node: ast.ClassDef) -> bool:
    """Whether fields stand under conditions and the like."""
    compound = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match)
    parts = [part for part in node.body if isinstance(part, compound)]
    return any(isinstance(inner, ast.AnnAssign) for part in parts for inner in ast.walk(part))


def _parameters(args: ast.arguments) -> list[Field]:
    positional = [*args.posonlyargs, *args.args]
    blank = [None] * (len(positional) - len(args.defaults))
    pairs = list(zip(positional, [*blank, *args.defaults], strict=True))[1:]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return [
        field_of(arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", value_of(node))
        for arg, node in pairs
    ]


def _add_slots(slots: dict[str, Slot | None], cls: Class) -> None:
    by_name = _flag(cls.dataclass, "kw_only", default=False)
    for statement in cls.node.body:
        match statement:
            case ast.AnnAssign(ast.Name(name), annotation):
                text = ast.unparse(annotation)
                outer = re.sub(r"^['\"]?(\w+\.)*", "", text)
                if outer.startswith("KW_ONLY"):
                    by_name = True
                elif outer.startswith("ClassVar"):
                    slots[name] = None
                else:
                    slots[name] = _slot(name, text, _default(cls, name), by_name=by_name)


def _default(cls: Class, name: str) -> Bound | None:
    """What a dataclass takes for a field's default: also a value that it inherits."""
    found = cls.defined(name)
    if name in cls.names or not _is_field(found):
        return found
    return _given(found, "default")


def _slot(name: str, annotation: str, value: Bound | None, *, by_name: bool) -> Slot:
    if not isinstance(value, Unknown) or not _is_field(value):
        return Slot(field_of(name, annotation, _value(value)), True, by_name)
    is_computed = _keyword(value.node, "default_factory") is not None
    given = _keyword(value.node, "default")
    default = COMPUTED if is_computed else value_of(given)
    init = _flag(value.node, "init", default=True)
    by_name = _flag(value.node, "kw_only", default=by_name)
    return Slot(field_of(name, annotation, default), init, by_name)


def _value(bound: Bound | None) -> Any:
    match bound:
        case None:
            return value_of(None)
        case Known(value):
            return value
        case Unknown(ast.expr() as node):
            return value_of(node)
    return COMPUTED


def _given(field: Bound | None, key: str) -> Bound | None:
    node = _keyword(field.node, key) if isinstance(field, Unknown) else None
    return Unknown(node) if node else None


def _is_field(bound: Bound | None) -> bool:
    return isinstance(bound, Unknown) and short(bound.function) == "field"


def _flag(call: ast.AST | None, key: str, *, default: bool) -> bool:
    node = _keyword(call, key)
    return bool(node.value) if isinstance(node, ast.Constant) else default


def _keyword(call: ast.AST | None, key: str) -> ast.expr | None:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == key), None)
