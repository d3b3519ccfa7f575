"""Job classes by importing them: the truth, for a process of its own, which may die of it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.catalog.annotations import headline
from prokerja.catalog.files import Stamp, scan
from prokerja.catalog.options import RULES, check, flow_terms, seconds_kept
from prokerja.catalog.package import import_file, install
from prokerja.catalog.signature import fields_of, is_open
from prokerja.errors import CatalogError
from prokerja.fields import hidden_method
from prokerja.job import Job, file_of, name_of, option
from prokerja.on_failure import words_of
from prokerja.spec import Broken, JobSpec
from prokerja.terms import DEFAULTS, FLOW_NAMES
from prokerja.text import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

MAX_ERROR_CHARACTERS = 300
"""Characters of an error."""


class Loaded(NamedTuple):
    """What was found, by job name, and what was not usable."""

    classes: dict[str, type]
    specs: dict[str, JobSpec]
    broken: list[Broken]
    shadowed: list[JobSpec]
    """Jobs whose names an earlier file has taken."""
    stamps: dict[str, Stamp]
    """Of the files, from before they were imported."""
    faults: list[BaseException]
    """What the broken files have raised."""


def load(directory: str, on_file: Callable[[str], object] = lambda _: None) -> Loaded:
    """Import every file of a jobs directory; `on_file` hears of each before it is imported.

    Whatever a file raises makes it broken and leaves the others alone. Raises CatalogError if the
    directory itself cannot be read.
    """
    root = os.path.abspath(directory)
    stamps = scan(root)
    install(root)
    loaded = Loaded({}, {}, [], [], stamps, [])
    modules: dict[str, ModuleType] = {}
    for path in sorted(stamps, key=lambda path: path != os.path.join(root, "__init__.py")):
        on_file(path)
        with _blaming(path, loaded):
            modules[path] = import_file(path, root)
    for path, module in modules.items():  # what one file does to another's classes counts, too
        with _blaming(path, loaded):
            for cls in _job_classes(module):
                _add(loaded, cls, path)
    return loaded


def load_classes(classes: Iterable[type]) -> Loaded:
    """The same of classes that are imported already."""
    loaded = Loaded({}, {}, [], [], {}, [])
    for cls in classes:
        _add(loaded, cls, file_of(cls))
    return loaded


def rebuild(cls: type, payload: dict[str, Any]) -> Any:
    """The job that a payload stands for; raises whatever its constructor raises."""
    return cls(**payload)


def spec_of(cls: type) -> JobSpec:
    """What a class takes and asks for; CatalogError if that is unclear or not allowed."""
    if fault := hidden_method(cls):
        raise CatalogError(fault)
    if not _is_job(cls):
        raise CatalogError(
            f"{brief(cls.__name__)} is not a job; "
            "give it a handle(), and a payload() unless it is a dataclass"
        )
    try:
        signature = inspect.signature(cls)
    except (TypeError, ValueError) as error:
        raise CatalogError(
            f"{brief(cls.__name__)} has a signature that cannot be read ({brief(str(error))}); "
            "give it an __init__ with named parameters"
        ) from None
    spec = JobSpec(
        name=name_of(cls),
        **{key: option(cls, key) for key in DEFAULTS},
        fields=fields_of(cls, signature),
        open=is_open(signature),
        file=file_of(cls),
        doc=_doc(cls, signature),
        keep=seconds_kept(option(cls, "keep")),
        on_failure=words_of(option(cls, "on_failure")),
        flow=flow_terms(cls.__name__, {name: option(cls, name) for name in FLOW_NAMES}),
    )
    check(cls.__name__, {key: getattr(spec, key) for key in RULES})
    return spec


def _doc(cls: type, signature: inspect.Signature) -> str:
    generated = cls.__name__ + str(signature).replace(" -> None", "")  # as dataclasses do
    return headline(None if cls.__doc__ == generated else cls.__doc__)


def _is_job(cls: type) -> bool:
    if issubclass(cls, Job) and hidden_method(cls):
        return True  # it was meant as one, so its fault is reported
    handle = getattr(cls, "handle", None)
    is_given = dataclasses.is_dataclass(cls) or issubclass(cls, Job)
    has_payload = is_given or callable(getattr(cls, "payload", None))
    is_abstract = inspect.isabstract(cls) or getattr(cls, "_is_protocol", False)
    return callable(handle) and handle is not Job.handle and has_payload and not is_abstract


def _add(loaded: Loaded, cls: type, path: str) -> None:
    with _blaming(path, loaded):
        spec = spec_of(cls)
        if first := loaded.specs.get(spec.name):
            loaded.shadowed.append(spec)
            raise CatalogError(first.twin(path))
        loaded.classes[spec.name], loaded.specs[spec.name] = cls, spec


@contextmanager
def _blaming(file: str, loaded: Loaded) -> Iterator[None]:
    try:
        yield
    except CatalogError as error:
        loaded.broken.append(Broken(file, str(error)))
    except BaseException as error:  # noqa: BLE001  a file that exits is broken like any other
        loaded.broken.append(Broken(file, _describe(error, file)))
        loaded.faults.append(error)


def _job_classes(module: ModuleType) -> list[type]:
    found = dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
    own = [cls for cls in found if cls.__module__ == module.__name__]
    return [cls for cls in own if not cls.__name__.startswith("_") and _is_job(cls)]


def _describe(error: BaseException, path: str) -> str:
    kind, line = type(error).__name__, _line(error, path)
    try:
        message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    except Exception:  # noqa: BLE001  even this is code that is not ours
        message = ""
    text = brief(f"{kind}: {message}" if message else kind, MAX_ERROR_CHARACTERS)
    return f"{text} (line {line})" if line else text


def _line(error: BaseException, path: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == path]
    return lines[-1] if lines else None
