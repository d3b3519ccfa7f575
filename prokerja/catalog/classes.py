"""Class statements, and what they inherit from others in the jobs directory."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from prokerja.catalog.constants import external, reached
from prokerja.catalog.modules import UNKNOWN, bound_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.catalog.modules import Scope

BASES = {"Job", "object", "ABC", "Protocol", "Generic"}
DECORATORS = {"dataclass", "final"}
"""What leaves it clear which fields a class has; any other base or decorator does not."""
KNOWN_MODULES = ("prokerja", "abc", "dataclasses", "typing", "typing_extensions", "builtins")
MAX_BASES = 50
"""Of a class, one above the other."""


class Class:
    """A class statement, and what it inherits from those above it in the file."""

    def __init__(self, node: ast.ClassDef, scope: Scope, depth: int = 0) -> None:
        inherited: list[Class] = []
        self.elsewhere = {known_name(keyword.value, scope) for keyword in node.keywords} - {
            "ABCMeta"
        }
        """Names of its bases that are not in the jobs directory."""
        for base in node.bases:
            found, where = reached(_unsubscripted(base), scope)
            if isinstance(found, ast.ClassDef) and where is not None and depth < MAX_BASES:
                inherited += Class(found, where, depth + 1).line
            else:
                self.elsewhere.add(known_name(base, scope))
        self.node, self.scope = node, scope
        unique = {(one.scope.path, one.node): one for one in reversed(inherited)}
        self.line: list[Class] = [self, *reversed(unique.values())]
        self.decorators = {known_name(item, scope): item for item in node.decorator_list}
        self.dataclass = self.decorators.get("dataclass")
        self.members = dict(_members(node))

    def find(self, name: str) -> ast.AST | None:
        """The definition or value that the name has in this class."""
        owner = self.owner(name)
        return owner.members[name] if owner else None

    def owner(self, name: str) -> Class | None:
        """The class that defines the name for this one."""
        return next((cls for cls in self.line if name in cls.members), None)

    def is_open(self) -> bool:
        """Whether something from elsewhere has a say in what it is."""
        decorators = {decorator for one in self.line for decorator in one.decorators}
        return not (self.bases() <= BASES and decorators <= DECORATORS)

    def is_changed(self, name: str) -> bool:
        """Whether its file sets this attribute of it, or of what it inherits, from outside."""
        return any((one.node.name, name) in one.scope.changed for one in self.line)

    def bases(self) -> set[str]:
        """Names of the bases that are not in the file, also of those that are."""
        return set[str]().union(*(cls.elsewhere for cls in self.line))


def _members(node: ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                yield name, statement
            case ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                yield name, value
            case ast.Assign(targets, value):
                yield from ((one.id, value) for one in targets if isinstance(one, ast.Name))
            case ast.If() | ast.For() | ast.While() | ast.Try() | ast.With() | ast.AugAssign():
                yield from ((name, UNKNOWN) for name in bound_names([statement]))


def _unsubscripted(node: ast.expr) -> ast.expr:
    return _unsubscripted(node.value) if isinstance(node, ast.Subscript) else node


def known_name(node: ast.expr, scope: Scope) -> str:
    """The own name of something of Python's or of ours, whatever it is called in this file."""
    name = external(node, scope)
    module, _, last = name.rpartition(".")
    return last if module.partition(".")[0] in ("", *KNOWN_MODULES) else name


def called(node: ast.expr) -> str:
    """A name as it stands, `.name` for one taken from a module, `?` for anything else."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(_, name):
            return f".{name}"
        case ast.Subscript(inner) | ast.Call(inner):
            return called(inner)
    return "?"
