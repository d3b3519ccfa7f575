"""Types as an import finds them, written as the annotations that `annotations` reads."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from dataclasses import InitVar
from types import SimpleNamespace
from typing import Any

MAX_DEPTH = 20
"""Levels of a type; a deeper one contains itself."""


def annotation_of(cls: type, name: str, annotation: Any) -> str:
    """The text of a parameter's annotation, its aliases replaced by what they name."""
    if isinstance(annotation, str):
        for scope in _scopes(cls, name):
            try:
                hints = SimpleNamespace(__annotations__={name: annotation})
                found = typing.get_type_hints(hints, scope, include_extras=True)
                return text_of(found[name])
            except Exception:  # noqa: BLE001, S112  code that is not ours: its text remains
                continue
        return annotation
    try:
        return text_of(annotation)
    except Exception:  # noqa: BLE001  see above
        return inspect.formatannotation(annotation)


def _scopes(cls: type, name: str) -> list[dict[str, Any]]:
    """The names that are known where a class has this field, and where it is itself."""
    homes = [one for one in cls.__mro__ if name in vars(one).get("__annotations__", {})]
    modules = [sys.modules.get(one.__module__) for one in [*homes, cls]]
    return [vars(module) for module in modules if module]


def text_of(kind: Any, depth: int = MAX_DEPTH) -> str:
    """The text of a type, without what says nothing of its values."""
    if depth == 0:
        return "Any"
    if (inner := _inner(kind)) is not kind:
        return text_of(inner, depth - 1)
    if isinstance(kind, typing.ForwardRef):
        return kind.__forward_arg__
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return "None"
    if origin in (None, typing.Literal) or not args or any(isinstance(one, list) for one in args):
        return inspect.formatannotation(kind)
    texts = ["..." if one is ... else text_of(one, depth - 1) for one in args]
    if origin in (typing.Union, types.UnionType):
        return " | ".join(texts)
    name = getattr(kind, "_name", None) or getattr(origin, "__name__", str(origin))
    return f"{name}[{', '.join(texts)}]"


def _inner(kind: Any) -> Any:
    """What an alias, a NewType or an Annotated stands for; any other type itself."""
    if isinstance(kind, typing.NewType):
        return kind.__supertype__
    if isinstance(kind, InitVar):
        return kind.type
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return args[0]
    if hasattr(origin, "__value__"):
        return origin.__value__[args]
    return getattr(kind, "__value__", kind)
