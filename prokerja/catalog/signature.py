"""What the constructor of an imported class takes, as its own annotations say."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from prokerja.catalog.annotations import REQUIRED, field_of
from prokerja.catalog.types import annotation_of
from prokerja.errors import CatalogError
from prokerja.text import brief, shown

if TYPE_CHECKING:
    from prokerja.spec import Field

VARIADIC = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def fields_of(cls: type, signature: inspect.Signature) -> tuple[Field, ...]:
    """The fields of its payload; CatalogError for one that cannot be given by name."""
    parameters = signature.parameters.values()
    return tuple(_field(cls, one) for one in parameters if one.kind not in VARIADIC)


def is_open(signature: inspect.Signature) -> bool:
    """Whether it takes any further field."""
    return any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())


def _field(cls: type, parameter: inspect.Parameter) -> Field:
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise CatalogError(
            f"{brief(cls.__name__)} takes {shown(parameter.name)} by position only; "
            "remove the / from its parameters"
        )
    annotation = ""
    if parameter.annotation is not parameter.empty:
        annotation = annotation_of(cls, parameter.name, parameter.annotation)
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    return field_of(parameter.name, annotation, default)
