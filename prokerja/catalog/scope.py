"""The names of a job file, bound statement by statement as its text tells; nothing of it is run."""

from __future__ import annotations

import ast
import builtins
from importlib import import_module
from typing import TYPE_CHECKING

from prokerja.catalog.bindings import Foreign, Function, Known, Ours, Unknown, bound_names
from prokerja.catalog.classes import ALL, Class, short
from prokerja.catalog.constants import evaluate
from prokerja.catalog.effects import Effects, executed, mark_changes_by_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prokerja.catalog.classes import Bound
    from prokerja.catalog.modules import Modules

LISTED = {"prokerja", "dataclasses", "datetime", "enum", "typing", "abc"}
"""Modules of which a star import is known: ours, and Python's own that do nothing else."""


class Scope:
    """What the top level of one file binds."""

    def __init__(self, path: str, tree: ast.Module, modules: Modules) -> None:
        self.path = path
        self.modules = modules
        self.shaken: set[str] = set()
        """Attributes that may be set from outside, of classes that cannot be determined."""
        self.unclear: list[Class] = []
        """Classes whose names may stand for something else by now."""
        self.globals = {
            name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names
        }
        """Names that functions may bind."""
        self.top = Block(self, None)
        self.top.run(tree.body)
        mark_changes_by_functions(tree, self.top)

    @property
    def names(self) -> Mapping[str, Bound]:
        """What the names of the file stand for, as far as it has run."""
        return self.top.names

    def classes(self) -> list[Class]:
        """The file's own, in the order of their names' first appearance."""
        found = [one for one in self.names.values() if isinstance(one, Class)]
        own = [one for one in dict.fromkeys([*found, *self.unclear]) if one.path == self.path]
        for one in own:
            one.is_unclear = one in self.unclear
        return own


class Block:
    """A file's top level or a class's body, as far as it has run."""

    def __init__(self, scope: Scope, outer: Block | None) -> None:
        self.scope = scope
        self.outer = outer
        self.names: dict[str, Bound] = {}
        self.is_hidden = False
        """Whether something may have bound any name."""

    def run(self, body: Iterable[ast.stmt]) -> None:
        """Bind what these statements bind."""
        effects = Effects(self)
        for statement in body:
            for node in executed(statement):
                effects.of(node)
            for decorator in getattr(statement, "decorator_list", ()):
                effects.touch(decorator)
            self._run(statement)

    def look_up(self, name: str) -> Bound:
        """What a name stands for here."""
        block: Block | None = self
        while block is not None:
            if name in block.names:
                return block.names[name]
            if block.is_hidden:
                return Unknown()
            block = block.outer
        if name == "__name__":
            return Known("")  # it is not `__main__`
        return Foreign(f"builtins.{name}") if hasattr(builtins, name) else Unknown()

    def attribute(self, owner: Bound, name: str) -> Bound:
        """What an attribute is."""
        match owner:
            case Foreign(module):
                return Foreign(f"{module}.{name}")
            case Class():
                return owner.attribute(name)
            case Ours():
                return self.scope.modules.member(owner, name)
        return Unknown()

    def bind(self, name: str, bound: Bound) -> None:
        """Have a name stand for something else."""
        before = self.names.get(name)
        if name in self.scope.globals and self.outer is None:
            if isinstance(bound, Class):
                self.scope.unclear.append(bound)
            bound = Unknown()
        if isinstance(before, Class) and isinstance(bound, Unknown) and self.outer is None:
            self.scope.unclear.append(before)
        self.names[name] = bound

    def hide(self) -> None:
        """Know no name any longer: something may have bound any of them."""
        self._forget([*self.names])
        self.is_hidden = True
        self.scope.shaken.add(ALL)

    def _run(self, statement: ast.stmt) -> None:  # noqa: C901, PLR0912  a case each
        match statement:
            case ast.ClassDef(name):
                self.bind(name, self._class(statement))
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                self.bind(name, Function(statement))
            case ast.Import(aliases):
                for alias in aliases:
                    name = alias.asname or alias.name.partition(".")[0]
                    self.bind(name, self._module(alias.name if alias.asname else name, 0))
            case ast.ImportFrom(module, aliases, level):
                owner = self._module(module or "", level)
                for alias in aliases:
                    if alias.name == "*":
                        self._bind_all(owner)
                    else:
                        bound = self.attribute(owner, alias.name)
                        self.bind(alias.asname or alias.name, bound)
            case ast.Assign(targets, value):
                bound = evaluate(value, self)
                for target in targets:
                    self._assign(target, bound)
            case ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                self.bind(name, evaluate(value, self))
            case ast.AugAssign(ast.Name(name), sign, value):
                left = ast.Name(name, ast.Load())
                self.bind(name, evaluate(ast.BinOp(left, sign, value), self))
            case ast.Delete(targets):
                for target in targets:
                    if isinstance(target, ast.Name):
                        self.names.pop(target.id, None)
            case ast.If(test, then, otherwise):
                self._choose(test, then, otherwise)
            case ast.Try(then, [], _, last):
                self.run([*then, *last])
            case ast.Try(then, handlers, rest, last) | ast.TryStar(then, handlers, rest, last):
                self._try([*then, *rest], [one for one in handlers if not _raises(one.body)])
                self.run(last)
            case ast.With(items, body) | ast.AsyncWith(items, body):
                self._forget(bound_names(*items))
                self._try(body, [])
            case ast.AnnAssign():
                pass
            case _:
                self._forget(bound_names(statement))

    def _assign(self, target: ast.expr, bound: Bound) -> None:
        match target, bound:
            case ast.Name(name), _:
                self.bind(name, bound)
            case ast.Subscript(ast.Name(name)), _ if name in self.names:
                self._forget([name])
            case ((ast.Tuple(parts) | ast.List(parts)), Known(tuple(values))) if len(parts) == len(
                values
            ) and not any(isinstance(part, ast.Starred) for part in parts):
                for part, value in zip(parts, values, strict=True):
                    self._assign(part, Known(value))
            case _:
                self._forget(bound_names(target))

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.bind(name, Unknown())

    def _choose(self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt]) -> None:
        decided = evaluate(test, self)
        if isinstance(decided, Known):
            self.run(then if decided.value else otherwise)
            return
        before = dict(self.names)
        self.run(then)
        first, self.names = self.names, dict(before)
        self.run(otherwise)
        for name in {*first, *self.names}:
            one, other = first.get(name), self.names.get(name)
            self.names[name] = one or other or Unknown()
            if (name in before or (one and other)) and not _is_same(one, other):
                self._doubt(name, one, other)
            elif not (one and other):
                self._doubt_unless_new(name)

    def _try(self, body: list[ast.stmt], handlers: list[ast.ExceptHandler]) -> None:
        """Run a body that may be left before its end; what else it may bind is bound as well."""
        before = dict(self.names)
        self.run(body)
        for name in sorted(bound_names(*body)):
            if name in before:
                if not _is_same(before[name], self.names.get(name)):
                    self._doubt(name, before[name], self.names.get(name))
            else:
                self._doubt_unless_new(name)
        for name in sorted(bound_names(*handlers)):
            self._doubt(name, self.names.get(name))

    def _doubt(self, name: str, *candidates: Bound | None) -> None:
        """Have a name stand for one of several things."""
        if self.outer is None:
            self.scope.unclear += [one for one in candidates if isinstance(one, Class)]
        self.names[name] = Unknown()

    def _doubt_unless_new(self, name: str) -> None:
        """Where a name may be bound or not, it is what it is bound to if it is nothing else."""
        if self.outer is not None or hasattr(builtins, name):
            self._doubt(name, self.names.get(name))

    def _module(self, name: str, level: int) -> Bound:
        return self.scope.modules.find(self.scope.path, name, level) or Foreign(name)

    def _bind_all(self, owner: Bound) -> None:
        names: Mapping[str, Bound] | None = None
        if isinstance(owner, Ours) and owner.file:
            names = self.scope.modules.public_names(owner.file)
        elif isinstance(owner, Foreign) and owner.name in LISTED:
            listed = import_module(owner.name).__all__
            names = {name: Foreign(f"{owner.name}.{name}") for name in listed}
        if names is None:
            self.hide()
            return
        for name, bound in names.items():
            self.bind(name, bound)

    def _class(self, node: ast.ClassDef) -> Class:
        bases = [evaluate(_unsubscripted(base), self) for base in node.bases]
        keywords = {str(one.arg): evaluate(one.value, self) for one in node.keywords}
        decorators = {self._full_name(one): one for one in node.decorator_list}
        cls = Class(node, self.scope.path, bases, keywords, decorators, self.scope.shaken)
        block = Block(self.scope, self.scope.top)
        block.run(node.body)
        cls.names = block.names
        return cls

    def _full_name(self, node: ast.expr) -> str:
        found = evaluate(node.func if isinstance(node, ast.Call) else node, self)
        return short(found.name) if isinstance(found, Foreign) else "?"


def _unsubscripted(node: ast.expr) -> ast.expr:
    return _unsubscripted(node.value) if isinstance(node, ast.Subscript) else node


def _raises(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Raise)


def _is_same(one: Bound | None, other: Bound | None) -> bool:
    if isinstance(one, Known) and isinstance(other, Known):
        return type(one.value) is type(other.value) and one == other
    return one == other
