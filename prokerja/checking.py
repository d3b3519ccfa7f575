"""A job's values against the types of its fields, before it is declared."""

from __future__ import annotations

import inspect
import json
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from prokerja.catalog.signature import fields_of, is_open
from prokerja.configured_job import ConfiguredJob
from prokerja.declaring import of_job
from prokerja.errors import CatalogError
from prokerja.job import has_own_payload, name_of
from prokerja.options import options_of
from prokerja.spec import JobSpec, fits
from prokerja.terms import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prokerja.model.declaration import Declaration
    from prokerja.options import Options
    from prokerja.types import Declarable, Terms

TYPES: dict[str, frozenset[type]] = {
    "string": frozenset([str]),
    "integer": frozenset([int]),
    "number": frozenset([int, float]),
    "boolean": frozenset([bool]),
    "null": frozenset([type(None)]),
    "array": frozenset([list, tuple]),
    "object": frozenset([dict]),
}
MAX_KINDS = 64
"""Combinations of types that are remembered of a class."""


def declaration_of(
    job: Declarable, keywords: Terms, now: float, directory: str = ""
) -> Declaration:
    """The declaration of a job instance whose values are of the types that its class says.

    What keywords say goes before what the options of the job say. Raises BadPayload, naming the
    field, for a value that is not; else what `of_job` raises.
    """
    [declaration] = declarations_of((job,), keywords, now, directory)
    return declaration


def declarations_of(
    jobs: Iterable[Declarable], keywords: Terms, now: float, directory: str = ""
) -> Iterator[Declaration]:
    """The same of many, one by one."""
    options = options_of(keywords)
    if keywords:
        jobs = (job.overridden(keywords) if type(job) is ConfiguredJob else job for job in jobs)
    return _checked(jobs, options, now, directory)


def _checked(
    jobs: Iterable[Any], options: Options, now: float, directory: str
) -> Iterator[Declaration]:
    for one in jobs:
        declaration = of_job(one, now, options, directory)
        job = one.job if type(one) is ConfiguredJob else one
        cls: type = type(job)
        if not _test_of(cls)(job):
            spec = _spec_of(cls)
            assert spec is not None
            spec.check_values(json.loads(declaration.payload))
        yield declaration


@cache
def _test_of(cls: type) -> Callable[[Any], bool]:
    """A quick test that nearly all jobs pass; of one that does not, the payload is looked at."""
    spec = _spec_of(cls)
    if spec is None:
        return lambda _: True
    if has_own_payload(cls):
        return lambda _: False
    fields = [field for field in spec.fields if field.schema]
    values_of = attrgetter(*[field.name for field in fields], "__class__")
    schemas = [(field.schema, _types(field.schema)) for field in fields]
    good: set[tuple[type, ...]] = set()
    """The types of values that were found to fit whatever they are."""

    def test(job: Any) -> bool:
        values = values_of(job)
        kinds = tuple(map(type, values))
        if kinds in good:
            return True
        told = [type(value) in types for value, (_, types) in zip(values, schemas, strict=False)]
        if all(told) and len(good) < MAX_KINDS:
            good.add(kinds)
        return all(
            is_told or fits(value, schema)
            for is_told, value, (schema, _) in zip(told, values, schemas, strict=False)
        )

    return test


def _types(schema: dict[str, Any]) -> frozenset[type]:
    """The types of which every value fits."""
    if "anyOf" in schema:
        return frozenset[type]().union(*map(_types, schema["anyOf"]))
    if not schema.keys().isdisjoint(("enum", "items", "additionalProperties")):
        return frozenset()
    return TYPES[schema["type"]]


@cache
def _spec_of(cls: type) -> JobSpec | None:
    """What a class takes; None if nothing is known of the values."""
    try:
        signature = inspect.signature(cls)
        fields = fields_of(cls, signature)
    except (TypeError, ValueError, CatalogError):
        return None
    if not any(field.schema for field in fields):
        return None
    return JobSpec(
        name_of(cls), **DEFAULTS, fields=fields, open=is_open(signature), file="", doc=""
    )
