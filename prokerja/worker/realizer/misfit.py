"""Payloads that do not fit a job's class, since the class was another one where they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from prokerja.text import quoted, utf8
from prokerja.verdicts import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from prokerja.spec import JobSpec

MAX_NAMES = 3
MAX_FIELDS_CHARACTERS = 200


def refusal(spec: JobSpec | None, payload: Any) -> Refusal | None:
    """Why a payload that a class's constructor did not take cannot fit it; None if it can."""
    if spec is None or not isinstance(payload, dict):
        return None
    known = {field.name for field in spec.fields}
    unknown = [] if spec.open else [name for name in payload if name not in known]
    missing = [one.name for one in spec.fields if one.required and one.name not in payload]
    if unknown and missing:
        why = f"has another {spec.name}, which takes no {_few(unknown)} and needs {_few(missing)}"
    elif unknown:
        why = f"has an older {spec.name}, which takes no {_few(unknown)}"
    elif missing:
        why = f"has a newer {spec.name}, which needs {_few(missing)}, so give that a default"
    else:
        return None
    return Refusal(utf8(why), utf8(_fields(payload)))


def _few(names: Collection[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(quoted(name) for name in list(names)[:MAX_NAMES]) + more


def _fields(payload: dict[str, Any]) -> str:
    """What all payloads with the same fields have in common."""
    text = ", ".join(sorted(payload))
    if len(text) <= MAX_FIELDS_CHARACTERS:
        return text
    return f"{text[:MAX_FIELDS_CHARACTERS]}... {crc32(utf8(text).encode()):08x}"
