"""Job classes as the text of their file tells of them; nothing of it is run."""

from __future__ import annotations

import ast
import io
import os
from tokenize import detect_encoding
from typing import TYPE_CHECKING, Any

from prokerja.catalog.annotations import COMPUTED, UNREADABLE, headline, json_value, value_of
from prokerja.catalog.bindings import Function, Known, Unknown
from prokerja.catalog.modules import Modules
from prokerja.catalog.options import check, flow_terms, seconds_kept
from prokerja.catalog.slots import constructor, is_unclear, slots_of
from prokerja.errors import CatalogError
from prokerja.fields import METHODS, hides
from prokerja.job import snake_case
from prokerja.spec import JobSpec
from prokerja.terms import DEFAULTS, FLOW_NAMES
from prokerja.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prokerja.catalog.classes import Class
    from prokerja.catalog.slots import Slot


def read_file(
    path: str, modules: Modules | None = None, broken: list[CatalogError] | None = None
) -> list[JobSpec]:
    """The jobs of one file, in its order; CatalogError if it cannot be read as Python.

    `modules` are those of its jobs directory, whose imports are followed. What is wrong with one
    class goes to `broken`, and is raised if there is no such list.

    What only running the file can tell is named in a spec's `unsure`: options, `name`, `fields`.
    A class with a base or a decorator from elsewhere is taken to accept any field. Such a base is
    not expected to set what the class sets itself; such a decorator is.
    """
    path = os.path.abspath(path)
    source = _source(path)
    try:
        scope = (modules or Modules(os.path.dirname(path))).scope(path, source)
        classes = scope.classes() if scope else []
        return list(_specs([cls for cls in classes if _is_job(cls)], path, broken))
    except SyntaxError as error:
        raise _unreadable(path, error.lineno or 1, f"SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _unreadable(path, 1, "a number too large, or nested too deeply") from None


def _specs(
    classes: Iterable[Class], path: str, broken: list[CatalogError] | None
) -> Iterator[JobSpec]:
    for cls in classes:
        try:
            yield _spec(cls, path)
        except CatalogError as error:
            if broken is None:
                raise
            broken.append(error)


def _source(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            source = file.read()
    except (FileNotFoundError, ValueError):
        raise CatalogError(f"{escaped(path)}: no such file; put it back, or look again") from None
    except OSError as error:
        raise CatalogError(
            f"{escaped(path)}: {error.strerror}; let this user read it, or move it elsewhere"
        ) from None
    try:
        encoding = _encoding(source)
        nul = source.decode(encoding).find("\0")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, line, f"a byte that is not {encoding.upper()}") from None
    except (LookupError, ValueError) as error:  # not every codec of Python's is one for text
        raise _unreadable(path, 1, f"{type(error).__name__}: {error}") from None
    if nul >= 0:
        raise _unreadable(path, source.count(b"\n", 0, source.index(b"\0")) + 1, "a null byte")
    return source


def _encoding(source: bytes) -> str:
    """What a file declares itself to be; the parser complains of an unknown encoding."""
    try:
        return detect_encoding(io.BytesIO(source).readline)[0]
    except SyntaxError:
        return "utf-8"


def _unreadable(path: str, line: int, error: str) -> CatalogError:
    return CatalogError(
        f"{escaped(path)}, line {line}: {escaped(error)}; "
        "correct it, or move the file out of the jobs directory"
    )


def _is_job(cls: Class) -> bool:
    if cls.node.name.startswith("_") or "Protocol" in cls.bases or _is_abstract(cls):
        return False
    if cls.is_a("Job") and _hidden(cls):
        return True  # it was meant as one, so its fault is reported
    if isinstance(cls.defined("handle"), Known | None):
        return False
    is_dataclass = any(one.dataclass for one in cls.own)
    return is_dataclass or cls.is_a("Job") or cls.defined("payload") is not None


def _hidden(cls: Class) -> str | None:
    """A method of every job in whose place the class has a field."""
    slots = slots_of(cls)
    return next((name for name in METHODS if slots.get(name)), None)


def _is_abstract(cls: Class) -> bool:
    members = [cls.defined(name) for one in cls.own for name in one.names]
    return any(
        ast.unparse(decorator).rpartition(".")[2] == "abstractmethod"
        for member in members
        if isinstance(member, Function)
        for decorator in member.node.decorator_list
    )


def _spec(cls: Class, path: str) -> JobSpec:
    if hidden := _hidden(cls):
        raise CatalogError(f"{escaped(path)}: {hides(cls.node.name, hidden)}")
    slots = slots_of(cls)
    values = {key: _option(cls, key, slots) for key in ("name", *DEFAULTS, *FLOW_NAMES)}
    unsure = [key for key in values if values[key] is COMPUTED]
    if cls.is_unclear or is_unclear(cls):
        unsure.append("fields")
    fields, is_open = constructor(cls)
    name = values["name"]
    told = {
        "name": name if isinstance(name, str) else snake_case(cls.node.name),
        **{key: DEFAULTS[key] if values[key] is COMPUTED else values[key] for key in DEFAULTS},
        "keep": None if (keep := _option(cls, "keep", slots)) is COMPUTED else keep,
    }
    flow = {key: values[key] for key in FLOW_NAMES if values[key] is not COMPUTED}
    try:
        check(cls.node.name, told)
        told["flow"] = flow_terms(cls.node.name, flow)
    except CatalogError as error:
        raise CatalogError(f"{escaped(path)}: {error}") from None
    return JobSpec(
        **told,
        fields=tuple(fields),
        open=is_open or cls.is_open(),
        file=path,
        doc=headline(ast.get_docstring(cls.node, clean=False)),
        unsure=tuple(unsure),
    )


def _option(cls: Class, key: str, slots: Mapping[str, Slot | None]) -> Any:
    """What a class sets, or what holds if it does not; COMPUTED if that cannot be determined."""
    if cls.is_unclear or cls.is_changed(key):
        return COMPUTED
    if slots.get(key):
        return DEFAULTS.get(key)
    match cls.find(key):
        case None:
            return DEFAULTS.get(key)
        case Function(node) if key == "name" and not node.decorator_list:
            return None  # no text, so no name
        case Known(str(value)):
            return str(value)
        case Known(value):
            try:
                return json_value(seconds_kept(value) if key == "keep" else value)
            except UNREADABLE:
                return COMPUTED
        case Unknown(ast.Dict() as node) if cls.has_written(node):
            return value_of(node)
    return COMPUTED
