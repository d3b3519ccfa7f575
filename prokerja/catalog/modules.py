"""The files of a jobs directory, and which of them an import means."""

from __future__ import annotations

import ast
import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from prokerja.catalog.aliases import expand
from prokerja.catalog.annotations import parse
from prokerja.catalog.bindings import Ours, Unknown
from prokerja.catalog.package import PACKAGE
from prokerja.catalog.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prokerja.catalog.classes import Bound, Class


class Modules:
    """The files of one jobs directory, read when they are asked for."""

    def __init__(self, directory: str) -> None:
        self._root = os.path.abspath(directory)
        self._scopes: dict[str, Scope | None] = {}
        self._patched: set[str] = set()
        """Files whose classes other files change."""

    def scope(self, path: str, source: bytes | None = None) -> Scope | None:
        """What a file binds; None for one that cannot be read, unless its `source` is given."""
        if self._scopes.get(path) is None and source is not None:
            self._scopes[path] = Scope(path, expand(parse(source)), self)
        elif path not in self._scopes:
            self._scopes[path] = None  # until it is read: those who import each other end here
            if tree := _parsed(path):
                with suppress(RecursionError):  # it is reported when the file itself is read
                    self._scopes[path] = Scope(path, tree, self)
        return self._scopes[path]

    def find(self, importer: str, module: str, level: int) -> Ours | None:
        """What an import in a file means; None if it is not one of ours."""
        place = self._place(importer, module, level)
        return _module_at(place) if place else None

    def member(self, module: Ours, name: str) -> Bound:
        """What a name in a module of ours stands for."""
        scope = self.scope(module.file) if module.file else None
        if scope is not None and (name in scope.names or scope.top.is_hidden):
            return scope.names.get(name, Unknown())
        inner = _module_at(os.path.join(module.folder, name)) if module.folder else None
        return inner or Unknown()

    def public_names(self, path: str) -> Mapping[str, Bound] | None:
        """What a star import of a file binds; None if that cannot be determined."""
        scope = self.scope(path)
        if scope is None or scope.top.is_hidden:
            return None
        if "__all__" not in scope.names:
            return {name: one for name, one in scope.names.items() if not name.startswith("_")}
        listed = scope.names["__all__"]
        try:
            node = listed.node if isinstance(listed, Unknown) else None
            names = ast.literal_eval(node or "")
            return {name: self.member(Ours(path, None), name) for name in names}
        except (ValueError, TypeError, SyntaxError):
            return None

    def change(self, cls: Class, name: str, path: str) -> None:
        """Take note that a file sets an attribute of a class from outside."""
        cls.changed.add(name)
        if cls.path != path:
            self._patched.add(cls.path)

    def candidates(self, importer: str, module: str, level: int) -> list[str]:
        """The files of the jobs directory that an import may mean, there or not."""
        place = self._place(importer, module, level)
        return [os.path.join(place, "__init__.py"), f"{place}.py"] if place else []

    def _place(self, importer: str, module: str, level: int) -> str | None:
        """Where in the jobs directory an import looks; None if elsewhere."""
        parts = module.split(".") if module else []
        folder = self._root
        if level:
            folder = os.path.dirname(importer)
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
        elif parts[:1] == [PACKAGE]:
            parts = parts[1:]
        elif parts[0] in sys.stdlib_module_names or PathFinder.find_spec(parts[0]):
            return None  # what is installed goes first
        return os.path.join(folder, *parts)

    def patched(self, files: Iterable[str]) -> set[str]:
        """Files with classes that some of these, or what they import, change from outside."""
        for file in files:
            self.scope(file)
        return self._patched

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


def _module_at(place: str) -> Ours | None:
    package = os.path.join(place, "__init__.py")
    if os.path.isfile(package):
        return Ours(package, place)
    if os.path.isfile(f"{place}.py"):
        return Ours(f"{place}.py", None)
    return Ours(None, place) if os.path.isdir(place) else None


def _parsed(path: str) -> ast.Module | None:
    try:
        with open(path, "rb") as file:
            tree: ast.Module = expand(parse(file.read()))
    except (OSError, SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None
    return tree
