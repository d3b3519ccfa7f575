"""Names that a file gives to types, put in their places; nothing of it is run."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KNOWN = {"typing", "typing_extensions", "pathlib", "os", "collections.abc", "dataclasses"}
"""Modules whose names mean what they say, by whatever name they are imported."""


def expand(module: ast.Module) -> ast.Module:
    """The module, with its own aliases and NewTypes in annotations replaced by what they name."""
    aliases = dict(_aliases(module))
    return _Annotations(aliases).visit(module) if aliases else module


def _aliases(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Those that are given once, at the top of the file; any other may mean several things."""
    found = [pair for statement in module.body for pair in _named(statement)]
    stored = Counter(
        node.id
        for node in ast.walk(module)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    times = Counter(name for name, _ in found)
    yield from ((name, of) for name, of in found if times[name] == 1 and stored[name] < 2)


def _named(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value):
            return [(name, of)] if (of := _type_in(value)) else []
        case ast.ImportFrom(module, names) if module in KNOWN:
            return [(one.asname, ast.Name(one.name)) for one in names if one.asname]
    if type(statement).__name__ == "TypeAlias":  # since Python 3.12
        target, of = (getattr(statement, part) for part in ("name", "value"))
        return [(target.id, of)]
    return []


def _type_in(value: ast.expr | None) -> ast.expr | None:
    match value:
        case ast.Call(ast.Name(maker) | ast.Attribute(attr=maker), [_, of, *_]):
            return of if maker in ("NewType", "TypeAliasType") else None
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.BinOp(op=ast.BitOr()):
            return value
    return None


class _Annotations(ast.NodeTransformer):
    """Replaces names in annotations, and nowhere else."""

    def __init__(self, aliases: Mapping[str, ast.expr]) -> None:
        self._types = _Types(aliases)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = self._types.visit(node.annotation)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.annotation:
            node.annotation = self._types.visit(node.annotation)
        return node


class _Types(ast.NodeTransformer):
    """Replaces names in one annotation."""

    def __init__(self, aliases: Mapping[str, ast.expr]) -> None:
        self._aliases = aliases

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._aliases:
            return node
        others = {name: of for name, of in self._aliases.items() if name != node.id}
        of = ast.parse(ast.unparse(self._aliases[node.id]), mode="eval").body
        return _Types(others).visit(of)  # type: ignore[no-any-return]

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        node.value = self.visit(node.value)
        if not ast.unparse(node.value).endswith("Literal"):  # whose strings are values
            node.slice = self.visit(node.slice)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        try:
            text = ast.parse(node.value, mode="eval") if isinstance(node.value, str) else None
        except (SyntaxError, ValueError):
            return node
        return self.visit(text.body) if text else node
