"""What code at a file's top level, and functions that it may call, change in classes from outside.

A change that cannot be determined makes an attribute unsure; none is taken for harmless because it
is hard to read. Methods that set attributes of instances change no class.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from prokerja.catalog.bindings import Foreign, Known, Ours, Unknown
from prokerja.catalog.classes import ALL, Class, short
from prokerja.catalog.constants import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prokerja.catalog.classes import Bound
    from prokerja.catalog.scope import Block

Function = ast.FunctionDef | ast.AsyncFunctionDef

READERS = {"enum.auto", "dataclasses.field", "dataclasses.fields", "typing.cast", "typing.TypeVar"}
READERS |= {
    f"builtins.{name}"
    for name in (
        "isinstance", "issubclass", "print", "len", "repr", "str", "type", "id", "hash", "list",
        "tuple", "dict", "set", "frozenset", "super", "getattr", "hasattr", "property",
    )
}  # fmt: skip
"""Functions that leave the classes alone that they are given."""
SETTERS = {"builtins.setattr", "builtins.delattr"}
REACHING = {f"builtins.{name}" for name in ("exec", "globals", "locals", "vars")}
"""By which any name can be bound."""
OF_CLASSES = {"__init_subclass__", "__new__", "__class_getitem__"}
"""Methods whose first parameter is a class."""


def executed(statement: ast.stmt) -> Iterator[ast.AST]:
    """Nodes that run when the statement is reached, but for the statements in it that follow."""
    match statement:
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            yield from _nodes([*statement.decorator_list, *args.defaults])
            yield from _nodes(default for default in args.kw_defaults if default)
        case ast.ClassDef():
            values = [keyword.value for keyword in statement.keywords]
            yield from _nodes([*statement.decorator_list, *statement.bases, *values])
        case ast.If(test):
            yield from _nodes([test])
        case ast.Try(handlers=handlers) | ast.TryStar(handlers=handlers):
            yield from _nodes(handlers)
        case ast.With(items) | ast.AsyncWith(items):
            yield from _nodes(items)
        case ast.AnnAssign(target, _, value):
            yield from _nodes([target, value] if value else [])
        case _:
            yield from _nodes([statement])


def _nodes(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.Lambda | Function):
            waiting.extend(ast.iter_child_nodes(node))


class Effects:
    """What nodes change that run in a block."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def of(self, node: ast.AST) -> None:
        """Mark what this node may change."""
        match node:
            case ast.Attribute(owner, name, ast.Store() | ast.Del()):
                self.set(evaluate(owner, self._block), name)
            case ast.Subscript(ast.Attribute(owner, name), _, ast.Store() | ast.Del()):
                self.set(evaluate(owner, self._block), name)
            case ast.NamedExpr(ast.Name(name)):
                self._block.bind(name, Unknown())
            case ast.Name(name, ast.Load()):
                if evaluate(node, self._block) in [Foreign(one) for one in REACHING]:
                    self._block.hide()
            case ast.Call(function, given, named):
                self._call(function, [*given, *(keyword.value for keyword in named)])

    def set(self, owner: Bound, name: str) -> None:
        """Mark that an attribute of something is set, or deleted."""
        match owner:
            case Class():
                self._block.scope.modules.change(owner, name, self._block.scope.path)
            case Ours(str(file)):
                other = self._block.scope.modules.scope(file)
                if other is not None:
                    other.top.bind(name, Unknown())
            case Foreign(full) if full == "?" or short(full) != full:
                self._block.scope.shaken.add(name)
            case Unknown(_, function) if not function or function.startswith("builtins."):
                self._block.scope.shaken.add(name)

    def touch(self, node: ast.AST) -> None:
        """Mark that the classes that an expression mentions are passed on."""
        for one in _nodes([node]):
            if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Load):
                cls = evaluate(one, self._block)
                if isinstance(cls, Class):
                    self.set(cls, ALL)

    def _call(self, function: ast.expr, given: list[ast.expr]) -> None:
        called = evaluate(function, self._block)
        name = called.name if isinstance(called, Foreign) else ""
        is_setter = isinstance(function, ast.Attribute) and function.attr == "__setattr__"
        if (name in SETTERS or is_setter) and len(given) > 1:
            key = evaluate(given[1], self._block)
            name = key.value if isinstance(key, Known) and isinstance(key.value, str) else ALL
            self.set(evaluate(given[0], self._block), name)
        elif name not in READERS:
            for node in given:
                self.touch(node)
            if isinstance(function, ast.Attribute):
                self.touch(function.value)


def mark_changes_by_functions(tree: ast.Module, top: Block) -> None:
    """Mark what functions of a file change in classes, whether something calls them or not."""
    effects = Effects(top)
    for function, is_method in _functions(tree, within_class=False):
        for owner, name in _stores(function):
            _mark(function, owner, name, effects, top, is_method=is_method)


def _functions(node: ast.AST, *, within_class: bool) -> Iterator[tuple[Function, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            decorators = {ast.unparse(one) for one in child.decorator_list}
            is_of_class = child.name in OF_CLASSES or "classmethod" in decorators
            yield child, within_class and not is_of_class
        else:
            yield from _functions(
                child, within_class=within_class or isinstance(child, ast.ClassDef)
            )


def _stores(function: Function) -> Iterator[tuple[ast.expr, str]]:
    """The attributes that a function sets, and of what."""
    for node in ast.walk(function):
        match node:
            case ast.Attribute(owner, name, ast.Store() | ast.Del()):
                yield owner, name
            case ast.Call(ast.Name("setattr" | "delattr"), [owner, ast.Constant(str(name)), *_]):
                yield owner, name
            case ast.Call(ast.Name("setattr" | "delattr"), [owner, *_]):
                yield owner, ALL


def _mark(
    function: Function, owner: ast.expr, name: str, effects: Effects, top: Block, *, is_method: bool
) -> None:
    match owner:
        case ast.Name(local) if local in _parameters(function):
            if not is_method:
                effects.set(Unknown(), name)
        case ast.Name(local) if local in _locals(function):
            pass
        case ast.Name() | ast.Attribute(ast.Name()):
            bound = evaluate(owner, top)
            if isinstance(bound, Class):
                effects.set(bound, name)
            elif isinstance(owner, ast.Attribute) and owner.attr == "__class__":
                effects.set(Unknown(), name)
        case ast.Call(ast.Name("type")):
            effects.set(Unknown(), name)


def _parameters(function: Function) -> set[str]:
    """Also what loops in it go through: either may be a class."""
    found = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            found |= {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
    return found


def _locals(function: Function) -> set[str]:
    return {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
