"""What a job takes, and whether a payload is that."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

from prokerja.errors import BadPayload
from prokerja.model.flow import FlowTerms
from prokerja.text import brief, escaped, shown

MAX_FAULTS = 8
"""Faults listed in one message; the rest are counted."""

PLAIN = {
    str: "string",
    os.PathLike: "string",  # as which it is written into a payload
    int: "integer",
    list: "array",
    tuple: "array",
}
EXACT = {bool: "boolean", type(None): "null", str: "string", int: "integer", list: "array"}
KINDS = frozenset(["string", "integer", "number", "boolean", "null", "array", "object"])
WORDS = {"true": True, "yes": True, "on": True, "1": True}
WORDS |= {"false": False, "no": False, "off": False, "0": False}
MAX_FLOAT = 1.7976931348623157e308


class Broken(NamedTuple):
    """A file or class that cannot be used, and why, in one line."""

    file: str
    error: str


class Field(NamedTuple):
    """One field of a payload."""

    name: str
    type: str
    """The annotation as shown, such as `str | None`; empty when there is none."""
    schema: dict[str, Any]
    """A small subset of JSON Schema: type, items, additionalProperties, anyOf, enum."""
    required: bool
    default: Any
    """A JSON value; None if the field is required or its default is computed."""
    default_text: str
    """The default as shown: `'sha256'`, or `...` when it is computed."""

    @property
    def has_default(self) -> bool:
        """Whether it may be left out, and is then known."""
        return not self.required and self.default_text != "..."

    def is_unclear(self) -> bool:
        """Whether it has a type of which nothing is known."""
        return bool(self.type) and not self.schema

    def signature(self) -> str:
        """The field as Python would write it: `to: str`, `subject: str = ''`, `n=0`."""
        text = f"{brief(self.name)}: {brief(self.type)}" if self.type else brief(self.name)
        if self.required:
            return text
        return f"{text}{' = ' if self.type else '='}{brief(self.default_text)}"


class JobSpec(NamedTuple):
    """A job by its name, its options (durations in seconds) and its fields."""

    name: str
    queue: str
    priority: int
    retries: int
    retry_after: float
    timeout: float | None
    fields: tuple[Field, ...]
    open: bool
    """Whether it takes any further field."""
    file: str
    """Absolute path of its source; empty when it has none."""
    doc: str
    """First line of its docstring."""
    unsure: tuple[str, ...] = ()
    """Options, or `name`, that only running the file can tell; none once it was imported."""
    keep: float | None = None
    """For how long completed ones are kept; None if the settings say, or it cannot be told yet."""
    flow: FlowTerms | None = None
    """What it says of limits, rates, resources and turns; None for nothing."""

    def signature(self) -> str:
        """What it takes: `send_email(to: str, subject: str = '')`."""
        takes = [field.signature() for field in self.fields]
        more = ["**more"] if self.open else []
        return f"{brief(self.name)}({', '.join(takes + more)})"

    def twin(self, path: str) -> str:
        """What to say of another job of this name, in the file at `path`."""
        return (
            f"two jobs are called {shown(self.name)}: {escaped(self.file)} and"
            f" {escaped(path)}; rename one or set its name"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        values = {**self._asdict(), "fields": [field._asdict() for field in self.fields]}
        if self.flow is not None:
            values["flow"] = self.flow.to_json()
        absent = [key for key in ("unsure", "flow") if not values[key]]
        return {key: values[key] for key in values if key not in absent}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The spec that `to_json` wrote; KeyError or TypeError for anything else."""
        fields = tuple(Field(**field) for field in data["fields"])
        flow = FlowTerms.from_json(data["flow"]) if "flow" in data else None
        unsure = tuple(data.get("unsure", ()))
        return cls(**{**data, "fields": fields, "unsure": unsure, "flow": flow})

    def check(self, payload: Any) -> None:
        """Raise BadPayload, telling all that is wrong at once, unless the job takes `payload`."""
        if not isinstance(payload, dict):
            raise BadPayload(
                f"{brief(self.name)} cannot take {shown(payload)}; "
                f"give a JSON object with the fields of {self.signature()}"
            )
        self._refuse(self._faults(payload))

    def check_values(self, payload: dict[str, Any]) -> None:
        """Raise BadPayload for a value that is not of the type of its field."""
        known = {field.name: field for field in self.fields}
        self._refuse(
            [
                _misfit(known[name], value)
                for name, value in payload.items()
                if name in known and not fits(value, known[name].schema)
            ]
        )

    def _refuse(self, faults: list[str]) -> None:
        if faults:
            more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
            raise BadPayload(
                f"{brief(self.name)} cannot take this payload: "
                f"{', '.join(faults[:MAX_FAULTS] + more)}; give what it takes: {self.signature()}"
            )

    def _faults(self, payload: dict[str, Any]) -> list[str]:
        known = {field.name: field for field in self.fields}
        faults = [
            f"{shown(name)} is missing"
            for name, field in known.items()
            if field.required and name not in payload
        ]
        for name, value in payload.items():
            field = known.get(name)
            if field is not None:
                if not fits(value, field.schema):
                    faults.append(_misfit(field, value))
            elif not self.open or not isinstance(name, str):
                faults.append(f"{shown(name)} is unknown")
        return faults

    def read(self, pairs: Sequence[str]) -> dict[str, Any]:
        """The payload that `key=value` (typed by the field) and `key:=JSON` pairs spell.

        A value that its field cannot read, and one without a field, stays a string for `check`
        to judge. Raises BadPayload for what is no pair, a key given twice, bad JSON, and what may
        be JSON or text where the type of the field does not tell.
        """
        schemas = {field.name: field.schema for field in self.fields}
        unclear = {field.name: field.type for field in self.fields if field.is_unclear()}
        payload: dict[str, Any] = {}
        for pair in pairs:
            key, text, is_json = _split(pair)
            if key in payload:
                raise BadPayload(f"{shown(key)} is given twice; give it once")
            if not is_json and key in unclear:
                _refuse_to_guess(key, text, unclear[key])
            payload[key] = _parsed(pair, text) if is_json else _typed(text, schemas.get(key, {}))
        return payload


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is what the schema allows; bool is no integer, an integer is a number."""
    if "anyOf" in schema:
        return any(fits(value, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return any(_kind(value) == _kind(one) and value == one for one in schema["enum"])
    wanted, kind = schema.get("type"), _kind(value)
    if kind == wanted == "array":
        return all(fits(item, schema.get("items", {})) for item in value)
    if kind == wanted == "object":
        return all(fits(item, schema.get("additionalProperties", {})) for item in value.values())
    return wanted in (None, kind) or (wanted == "number" and kind == "integer")


def _misfit(field: Field, value: Any) -> str:
    return f"{shown(field.name)} is {shown(value)}, not {brief(field.type)}"


def _kind(value: Any) -> str:
    exactly = EXACT.get(type(value))
    if exactly is not None:
        return exactly
    if isinstance(value, float):
        return "number" if abs(value) <= MAX_FLOAT else "not JSON"
    if isinstance(value, dict):
        return "object" if all(isinstance(key, str) for key in value) else "not JSON"
    return next((kind for cls, kind in PLAIN.items() if isinstance(value, cls)), "not JSON")


def _kinds(schema: dict[str, Any]) -> frozenset[str]:
    if "anyOf" in schema:
        return frozenset[str]().union(*map(_kinds, schema["anyOf"]))
    if "enum" in schema:
        return frozenset(map(_kind, schema["enum"]))
    return frozenset([schema["type"]]) if "type" in schema else KINDS


def _split(pair: str) -> tuple[str, str, bool]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise BadPayload(f"{shown(pair)} is not a field; write key=value, or key:=JSON")
    is_json = key.endswith(":")
    key = key[:-1] if is_json else key
    if not key:
        raise BadPayload(f"{shown(pair)} names no field; write key=value, or key:=JSON")
    return key, text, is_json


def _refuse_to_guess(key: str, text: str, annotation: str) -> None:
    try:
        is_text = isinstance(_json(text), str)
    except (ValueError, RecursionError):
        is_text = True
    if not is_text:
        raise BadPayload(
            f"{shown(key)} is of the type {brief(annotation)}: cannot tell whether "
            f"{shown(text)} is text or JSON; write {brief(f'{key}:={text}')}"
            f""" or {brief(f"{key}:='{json.dumps(text)}'")}"""
        )


def _typed(text: str, schema: dict[str, Any]) -> Any:
    kinds = _kinds(schema)
    if not schema or kinds <= {"string", "null"}:
        return text if "string" in kinds or text != "null" else None
    readings = _json_reading(text) if "string" in kinds else _every_reading(text)
    return next((value for value in readings if fits(value, schema)), text)


def _json_reading(text: str) -> Iterator[Any]:
    try:
        value = _json(text)
    except (ValueError, RecursionError):
        return
    if value is not None:  # where a string is allowed, `null` is one
        yield value


def _every_reading(text: str) -> Iterator[Any]:
    yield from _json_reading(text)
    if text == "null":
        yield None
    if text.lower() in WORDS:
        yield WORDS[text.lower()]
    for number in (int, float):
        try:
            yield number(text)
        except ValueError:
            continue


def _parsed(pair: str, text: str) -> Any:
    try:
        return _json(text)
    except (ValueError, RecursionError) as error:
        why = getattr(error, "msg", None) or str(error)
        raise BadPayload(
            f"{shown(pair)} is not JSON ({brief(why)}); "
            'write key:=JSON with strings in double quotes, as in key:="text"'
        ) from None


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) <= MAX_FLOAT:
        return number
    raise ValueError(f"{text} is not a JSON number")
