"""Job classes as the text of their file tells of them; nothing of it is run."""

from __future__ import annotations

import ast
import io
import os
import re
from tokenize import detect_encoding
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.catalog.annotations import (
    COMPUTED,
    UNREADABLE,
    field_of,
    headline,
    json_value,
    value_of,
)
from prokerja.catalog.classes import Class, called, known_name
from prokerja.catalog.constants import Computed, value_in
from prokerja.catalog.modules import Modules
from prokerja.errors import CatalogError
from prokerja.fields import METHODS, hides
from prokerja.job import OPTIONS, snake_case
from prokerja.spec import Field, JobSpec, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.catalog.modules import Scope


def read_file(path: str, modules: Modules | None = None) -> list[JobSpec]:
    """The jobs of one file, in its order; CatalogError if it cannot be read as Python.

    `modules` are those of its jobs directory, whose imports are followed. An option that only
    running the file can tell is named in its spec's `unsure`. A class with a base or a decorator
    from elsewhere is taken to accept any field, and is unsure of the options it does not set.
    """
    path = os.path.abspath(path)
    source = _source(path)
    try:
        scope = (modules or Modules(os.path.dirname(path))).scope(path, source)
        assert scope is not None
        classes = [Class(node, scope) for node in scope.classes]
        specs = [_spec(cls, path) for cls in classes if _is_job(cls)]
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
        encoding = _encoding(source)
        nul = source.decode(encoding).find("\0")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, line, f"a byte that is not {encoding.upper()}") from None
    if nul >= 0:
        raise _unreadable(path, source.count(b"\n", 0, source.index(b"\0")) + 1, "a null byte")
    return source


def _encoding(source: bytes) -> str:
    """What a file declares itself to be; the parser complains of an encoding that nobody knows."""
    try:
        return detect_encoding(io.BytesIO(source).readline)[0]
    except SyntaxError:
        return "utf-8"


def _unreadable(path: str, line: int, error: str) -> CatalogError:
    return CatalogError(
        f"{printable(path)}, line {line}: {printable(error)}; "
        "correct it, or move the file out of the jobs directory"
    )


class _Slot(NamedTuple):
    """A field of a dataclass."""

    field: Field
    init: bool
    by_name: bool


def _is_job(cls: Class) -> bool:
    if cls.node.name.startswith("_") or "Protocol" in cls.elsewhere or _is_abstract(cls):
        return False
    if "Job" in cls.bases() and _hidden(cls):
        return True  # as it was meant, so that it is told what is wrong with it
    if isinstance(cls.find("handle"), ast.Constant | None):
        return False
    is_dataclass = any(one.dataclass for one in cls.line)
    return is_dataclass or "Job" in cls.bases() or cls.find("payload") is not None


def _hidden(cls: Class) -> str | None:
    """A method of every job in whose place the class has a field."""
    slots = next((_slots(one) for one in cls.line if one.dataclass), {})
    return next((name for name in METHODS if slots.get(name)), None)


def _is_abstract(cls: Class) -> bool:
    members = [cls.find(name) for one in cls.line for name in one.members]
    return any(
        called(decorator).lstrip(".") == "abstractmethod"
        for member in members
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in member.decorator_list
    )


def _spec(cls: Class, path: str) -> JobSpec:
    slots = next((_slots(one) for one in cls.line if one.dataclass), {})
    if hidden := _hidden(cls):
        raise CatalogError(f"{printable(path)}: {hides(cls.node.name, hidden)}")
    values = {key: _option(cls, key, slots) for key in ("name", *OPTIONS)}
    fields, is_open = _fields(cls)
    name = values["name"]
    options = {key: OPTIONS[key] if values[key] is COMPUTED else values[key] for key in OPTIONS}
    return JobSpec(
        name=name if isinstance(name, str) else snake_case(cls.node.name),
        **options,
        fields=tuple(fields),
        open=is_open or cls.is_open(),
        file=path,
        doc=headline(ast.get_docstring(cls.node, clean=False)),
        unsure=tuple(key for key in ("name", *OPTIONS) if values[key] is COMPUTED),
    )


def _option(cls: Class, key: str, slots: Mapping[str, _Slot | None]) -> Any:
    """What a class sets, or what holds if it does not; COMPUTED if that cannot be told."""
    owner = cls.owner(key)
    if slots.get(key):
        return OPTIONS.get(key)
    if cls.is_changed(key):
        return COMPUTED
    if owner is None:
        return COMPUTED if cls.is_open() and key != "name" else OPTIONS.get(key)
    try:
        value = value_in(owner.members[key], owner.scope, owner.members)
        return value if isinstance(value, str) else json_value(value)
    except (Computed, *UNREADABLE):
        return COMPUTED


def _fields(cls: Class) -> tuple[list[Field], bool]:
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


def _slots(cls: Class) -> dict[str, _Slot | None]:
    """The fields of a dataclass, inherited ones first; None for a ClassVar."""
    slots: dict[str, _Slot | None] = {}
    for one in reversed(cls.line):
        if one.dataclass:
            _add_slots(slots, one)
    return slots


def _add_slots(slots: dict[str, _Slot | None], cls: Class) -> None:
    by_name = _flag(cls.dataclass, "kw_only", default=False)
    for statement in cls.node.body:
        match statement:
            case ast.AnnAssign(ast.Name(name), annotation):
                text = ast.unparse(annotation)
                outer = re.sub(r"^['\"]?(\w+\.)*", "", text)
                if outer.startswith("KW_ONLY"):
                    by_name = True
                else:
                    value = _default(cls, name)
                    slot = _slot(name, text, value, cls.scope, by_name=by_name)
                    slots[name] = None if outer.startswith("ClassVar") else slot


def _default(cls: Class, name: str) -> ast.AST | None:
    """What a dataclass takes for a field's default: also a value that it inherits."""
    owner = cls.owner(name)
    node = cls.find(name)
    if owner is None or name in cls.members or not _is_field(node, owner.scope):
        return node
    return _keyword(node, "default")


def _slot(
    name: str, annotation: str, value: ast.AST | None, scope: Scope, *, by_name: bool
) -> _Slot:
    if not _is_field(value, scope):
        return _Slot(field_of(name, annotation, value_of(value)), True, by_name)
    is_computed = _keyword(value, "default_factory") is not None
    default = value_of(value if is_computed else _keyword(value, "default"))
    init, by_name = _flag(value, "init", default=True), _flag(value, "kw_only", default=by_name)
    return _Slot(field_of(name, annotation, default), init, by_name)


def _is_field(node: ast.AST | None, scope: Scope) -> bool:
    return isinstance(node, ast.Call) and known_name(node, scope) == "field"


def _flag(call: ast.AST | None, key: str, *, default: bool) -> bool:
    node = _keyword(call, key)
    return bool(node.value) if isinstance(node, ast.Constant) else default


def _keyword(call: ast.AST | None, key: str) -> ast.expr | None:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == key), None)
