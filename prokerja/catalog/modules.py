"""The names of a jobs directory's files, as their text binds them; imports among them followed."""

from __future__ import annotations

import ast
import os
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

from prokerja.catalog.aliases import expand
from prokerja.catalog.annotations import parse
from prokerja.catalog.package import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNKNOWN = ast.Name("?")
"""Stands for a value that only running the file can tell."""


class Imported(NamedTuple):
    """A name that an import statement binds: a module, or a name in it."""

    module: str
    """Its full name; for a file of the jobs directory its path."""
    name: str | None


Bound = ast.AST | Imported


class Scope:
    """What the top level of one file binds."""

    def __init__(self, path: str, tree: ast.Module, modules: Modules) -> None:
        self.path = path
        self.modules = modules
        self.names: dict[str, Bound] = {}
        self.classes: list[ast.ClassDef] = []
        """In their order; of several that have one name, the last counts."""
        self.changed: set[tuple[str, str]] = set()
        """Classes and their attributes that are set from outside."""
        self._bind(tree.body)

    def _bind(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self._bind_one(statement)

    def _bind_one(self, statement: ast.stmt) -> None:  # noqa: C901  a case each
        match statement:
            case ast.ClassDef(name):
                self.classes = [one for one in self.classes if one.name != name]
                self.classes.append(statement)
                self.names[name] = statement
            case ast.Import(aliases):
                for alias in aliases:
                    name = alias.asname or alias.name.partition(".")[0]
                    module = alias.name if alias.asname else name
                    self._set(name, Imported(self.modules.find(self.path, module, 0), None))
            case ast.ImportFrom(module, aliases, level):
                for alias in aliases:
                    self._set(alias.asname or alias.name, self._from(module, alias.name, level))
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value):
                self._set(name, value or UNKNOWN)
            case ast.Assign([ast.Attribute(ast.Name(owner), attribute)]):
                self.changed.add((owner, attribute))
            case ast.If(test, then, otherwise):
                self._bind_either(test, then, otherwise)
            case ast.Try(then, handlers, otherwise, last):
                self._bind([*then, *otherwise, *last])
                self._bind_unknown(part for handler in handlers for part in handler.body)
            case ast.With(_, then):
                self._bind(then)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                self._set(name, UNKNOWN)
            case _:
                self._bind_unknown([statement])

    def _bind_either(self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt]) -> None:
        decided = _decided(test)
        if decided is not None:
            return self._bind(then if decided else otherwise)
        self._bind([*then, *otherwise])
        for name in {*bound_names(then)} & {*bound_names(otherwise)}:
            self.names[name] = UNKNOWN
            self.classes = [one for one in self.classes if one.name != name]
        return None

    def _bind_unknown(self, body: Iterable[ast.stmt]) -> None:
        for name in bound_names(body):
            self.names[name] = UNKNOWN
            self.classes = [one for one in self.classes if one.name != name]

    def _set(self, name: str, bound: Bound) -> None:
        """A name that is bound twice is known no more, unless to the same import."""
        before = self.names.get(name)
        self.names[name] = bound if before is None or before == bound else UNKNOWN

    def _from(self, module: str | None, name: str, level: int) -> Imported:
        whole = self.modules.find(self.path, f"{module}.{name}" if module else name, level)
        if os.path.isabs(whole):  # the name is that of a file
            return Imported(whole, None)
        return Imported(self.modules.find(self.path, module or "", level), name)


class Modules:
    """The files of one jobs directory, read when they are asked for."""

    def __init__(self, directory: str) -> None:
        self._root = os.path.abspath(directory)
        self._scopes: dict[str, Scope | None] = {}
        self.steps = 0
        """Taken to work out values."""

    def scope(self, path: str, source: bytes | None = None) -> Scope | None:
        """What a file binds; None for one that cannot be read, unless its `source` is given."""
        if path not in self._scopes:
            self._scopes[path] = None  # until it is read: those who import each other end here
            tree = expand(parse(source)) if source is not None else _parsed(path)
            if tree is not None:
                self._scopes[path] = Scope(path, tree, self)
        return self._scopes[path]

    def find(self, importer: str, module: str, level: int) -> str:
        """The path of the file that an import in a file means; a module's name if none of ours."""
        for candidate in self.candidates(importer, module, level):
            if os.path.isfile(candidate):
                return candidate
        return module

    def candidates(self, importer: str, module: str, level: int) -> list[str]:
        """The files of the jobs directory that an import may mean, there or not."""
        parts = module.split(".") if module else []
        folder = self._root
        if level:
            folder = os.path.dirname(importer)
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
        elif parts[:1] == [PACKAGE]:
            parts = parts[1:]
        elif parts[0] in sys.stdlib_module_names or PathFinder.find_spec(parts[0]):
            return []  # what is installed goes first
        place = os.path.join(folder, *parts)
        found = [os.path.join(place, "__init__.py")]
        return [*found, f"{place}.py"] if parts else found

    def dependents(self, files: Iterable[str], changed: Iterable[str]) -> set[str]:
        """Those of the files that import, perhaps through others, what has changed."""
        imports = {file: set(self._imports(file)) for file in files}
        found, new = set[str](), set(changed)
        while new:
            new = {file for file, others in imports.items() if others & new} - found
            found |= new
        return found

    def _imports(self, path: str) -> Iterator[str]:
        for node in ast.walk(_parsed(path) or ast.Module([], [])):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self.candidates(path, alias.name, 0)
            elif isinstance(node, ast.ImportFrom):
                yield from self.candidates(path, node.module or "", node.level)
                for alias in node.names:
                    name = f"{node.module}.{alias.name}" if node.module else alias.name
                    yield from self.candidates(path, name, node.level)


def bound_names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Every name that these statements may bind."""
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Name(name, ast.Store()) | ast.ClassDef(name) | ast.FunctionDef(name):
                    yield name
                case ast.alias(name, asname):
                    yield asname or name.partition(".")[0]


def _parsed(path: str) -> ast.Module | None:
    try:
        with open(path, "rb") as file:
            tree: ast.Module = expand(parse(file.read()))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


def _decided(test: ast.expr) -> bool | None:
    """How a condition turns out that is the same wherever the file is imported."""
    match ast.unparse(test):
        case "TYPE_CHECKING" | "typing.TYPE_CHECKING" | "False":
            return False
        case "True":
            return True
    match test:
        case ast.Compare(left, [ast.GtE() | ast.Lt() as sign], [right]):
            if ast.unparse(left) == "sys.version_info":
                try:
                    newer = sys.version_info >= ast.literal_eval(right)
                except (ValueError, TypeError):
                    return None
                return newer if isinstance(sign, ast.GtE) else not newer
        case ast.Compare(left, [ast.Eq() | ast.NotEq() as sign], [ast.Constant(value)]):
            if ast.unparse(left) == "sys.platform":
                return (sys.platform == value) == isinstance(sign, ast.Eq)
    return None
