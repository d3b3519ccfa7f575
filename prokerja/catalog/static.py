"""Job classes as the text of their file tells of them; nothing of it is run."""

from __future__ import annotations

import ast
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.catalog.aliases import expand
from prokerja.catalog.annotations import UNREADABLE, field_of, headline, json_value, parse, value_of
from prokerja.errors import CatalogError
from prokerja.fields import METHODS, hides
from prokerja.job import OPTIONS, snake_case
from prokerja.spec import Field, JobSpec, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BASES = {"Job", "object", "ABC", "Protocol", "Generic"}
DECORATORS = {"dataclass", "final"}
"""What leaves it clear which fields a class has; any other base or decorator does not."""


def read_file(path: str) -> list[JobSpec]:
    """The jobs of one file, in its order; CatalogError if it cannot be read as Python.

    An option that is no literal counts as not set. A class with a base or a decorator from
    elsewhere is taken to accept any field.
    """
    source = _source(path)
    try:
        specs = [_spec(cls, os.path.abspath(path)) for cls in _classes(source) if _is_job(cls)]
    except SyntaxError as error:
        raise _unreadable(path, error.lineno or 1, f"SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _unreadable(path, 1, "a number too large, or nested too deeply") from None
    return [spec for spec in specs if is_name(spec.name)]


def is_name(text: str) -> bool:
    """Whether the store takes it as the name of a job or queue."""
    return 0 < len(text) <= 255 and text.isprintable()


def _source(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            source = file.read()
    except (FileNotFoundError, ValueError):
        raise CatalogError(f"{printable(path)}: no such file; put it back, or look again") from None
    except OSError as error:
        raise CatalogError(
            f"{printable(path)}: {error.strerror}; let this user read it, or move it elsewhere"
        ) from None
    try:
        nul = source.decode().find("\0")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, line, "a byte that is not UTF-8") from None
    if nul >= 0:
        raise _unreadable(path, source.count(b"\n", 0, source.index(b"\0")) + 1, "a null byte")
    return source


def _unreadable(path: str, line: int, error: str) -> CatalogError:
    return CatalogError(
        f"{printable(path)}, line {line}: {printable(error)}; "
        "correct it, or move the file out of the jobs directory"
    )


class _Class:
    """A class statement, and what it inherits from those above it in the file."""

    def __init__(self, node: ast.ClassDef, above: Mapping[str, _Class]) -> None:
        names = [_called(base) for base in node.bases]
        inherited = [cls for name in names if name in above for cls in above[name].line]
        self.node = node
        self.line: list[_Class] = [self, *reversed(dict.fromkeys(reversed(inherited)))]
        self.elsewhere = {name.lstrip(".") for name in names if name not in above}
        self.decorators = {_called(item).lstrip("."): item for item in node.decorator_list}
        self.dataclass = self.decorators.get("dataclass")
        self.members = dict(_members(node))

    def find(self, name: str) -> ast.AST | None:
        """The definition or value that the name has in this class."""
        return next((cls.members[name] for cls in self.line if name in cls.members), None)

    def bases(self) -> set[str]:
        """Names of the bases that are not in the file, also of those that are."""
        return set[str]().union(*(cls.elsewhere for cls in self.line))


class _Slot(NamedTuple):
    """A field of a dataclass."""

    field: Field
    init: bool
    by_name: bool


def _classes(source: bytes) -> list[_Class]:
    found: dict[str, _Class] = {}
    for node in expand(parse(source)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _Class(node, found)
    return list(found.values())


def _members(node: ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                yield name, statement
            case ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                yield name, value
            case ast.Assign(targets, value):
                yield from ((one.id, value) for one in targets if isinstance(one, ast.Name))


def _called(node: ast.expr) -> str:
    """A name as it stands, `.name` for one taken from a module, `?` for anything else."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(_, name):
            return f".{name}"
        case ast.Subscript(inner) | ast.Call(inner):
            return _called(inner)
    return "?"


def _is_job(cls: _Class) -> bool:
    if cls.node.name.startswith("_") or "Protocol" in cls.elsewhere or _is_abstract(cls):
        return False
    if "Job" in cls.bases() and _hidden(cls):
        return True  # as it was meant, so that it is told what is wrong with it
    if isinstance(cls.find("handle"), ast.Constant | None):
        return False
    is_dataclass = any(one.dataclass for one in cls.line)
    return is_dataclass or "Job" in cls.bases() or cls.find("payload") is not None


def _hidden(cls: _Class) -> str | None:
    """A method of every job in whose place the class has a field."""
    slots = next((_slots(one) for one in cls.line if one.dataclass), {})
    return next((name for name in METHODS if slots.get(name)), None)


def _is_abstract(cls: _Class) -> bool:
    members = [cls.find(name) for one in cls.line for name in one.members]
    return any(
        _called(decorator).lstrip(".") == "abstractmethod"
        for member in members
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in member.decorator_list
    )


def _spec(cls: _Class, path: str) -> JobSpec:
    slots = next((_slots(one) for one in cls.line if one.dataclass), {})
    if hidden := _hidden(cls):
        raise CatalogError(f"{printable(path)}: {hides(cls.node.name, hidden)}")
    name = _option(cls, "name", slots)
    fields, is_open = _fields(cls)
    decorators = {decorator for one in cls.line for decorator in one.decorators}
    return JobSpec(
        name=name if isinstance(name, str) else snake_case(cls.node.name),
        **{key: _option(cls, key, slots) for key in OPTIONS},
        fields=tuple(fields),
        open=is_open or not (cls.bases() <= BASES and decorators <= DECORATORS),
        file=path,
        doc=headline(ast.get_docstring(cls.node, clean=False)),
    )


def _option(cls: _Class, key: str, slots: Mapping[str, _Slot | None]) -> Any:
    value = OPTIONS.get(key) if slots.get(key) else value_of(cls.find(key))
    try:
        return value if isinstance(value, str) else json_value(value)
    except UNREADABLE:
        return OPTIONS.get(key)


def _fields(cls: _Class) -> tuple[list[Field], bool]:
    """What the constructor takes, and whether it takes anything else too."""
    for one in cls.line:
        init = one.members.get("__init__")
        if isinstance(init, ast.FunctionDef):
            return _parameters(init.args), init.args.kwarg is not None
        if one.dataclass and _flag(one.dataclass, "init", default=True):
            slots = [slot for slot in _slots(one).values() if slot and slot.init]
            return [slot.field for slot in sorted(slots, key=lambda slot: slot.by_name)], False
    return [], False


def _parameters(args: ast.arguments) -> list[Field]:
    positional = [*args.posonlyargs, *args.args]
    blank = [None] * (len(positional) - len(args.defaults))
    pairs = list(zip(positional, [*blank, *args.defaults], strict=True))[1:]
    pairs += zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return [
        field_of(arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", value_of(node))
        for arg, node in pairs
    ]


def _slots(cls: _Class) -> dict[str, _Slot | None]:
    """The fields of a dataclass, inherited ones first; None for a ClassVar."""
    slots: dict[str, _Slot | None] = {}
    for one in reversed(cls.line):
        if one.dataclass:
            _add_slots(slots, one)
    return slots


def _add_slots(slots: dict[str, _Slot | None], cls: _Class) -> None:
    by_name = _flag(cls.dataclass, "kw_only", default=False)
    for statement in cls.node.body:
        match statement:
            case ast.AnnAssign(ast.Name(name), annotation):
                text = ast.unparse(annotation)
                outer = re.sub(r"^['\"]?(\w+\.)*", "", text)
                if outer.startswith("KW_ONLY"):
                    by_name = True
                else:
                    slot = _slot(name, text, _default(cls, name), by_name=by_name)
                    slots[name] = None if outer.startswith("ClassVar") else slot


def _default(cls: _Class, name: str) -> ast.AST | None:
    """What a dataclass takes for a field's default: also a value that it inherits."""
    node = cls.find(name)
    return node if name in cls.members or not _is_field(node) else _keyword(node, "default")


def _slot(name: str, annotation: str, value: ast.AST | None, *, by_name: bool) -> _Slot:
    if not _is_field(value):
        return _Slot(field_of(name, annotation, value_of(value)), True, by_name)
    is_computed = _keyword(value, "default_factory") is not None
    default = value_of(value if is_computed else _keyword(value, "default"))
    init, by_name = _flag(value, "init", default=True), _flag(value, "kw_only", default=by_name)
    return _Slot(field_of(name, annotation, default), init, by_name)


def _is_field(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and _called(node).lstrip(".") == "field"


def _flag(call: ast.AST | None, key: str, *, default: bool) -> bool:
    node = _keyword(call, key)
    return bool(node.value) if isinstance(node, ast.Constant) else default


def _keyword(call: ast.AST | None, key: str) -> ast.expr | None:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == key), None)
