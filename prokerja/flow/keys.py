"""Keys of limits, rates and turns, which may take text from a payload: `user-{user}`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.model.flow import Key

_PIECE = re.compile(r"(\{\{|\}\}|[^{}]+)|\{([^{}]+)\}")


def parse_key(text: str, what: str) -> Key:
    """The parts of a key: `{field}` stands for a field, `{{` and `}}` for braces.

    Raises BadOption, naming `what`, for other braces.
    """
    parts, place = [""], 0
    while place < len(text):
        piece = _PIECE.match(text, place)
        if piece is None:
            raise BadOption(
                f"{what}: {quoted(text)} has a brace by itself; write {{field}} for a field's"
                " value, {{ or }} for a brace"
            )
        plain, field = piece.groups()
        if field is not None:
            parts += [field, ""]
        else:
            parts[-1] += plain[0] if plain in ("{{", "}}") else plain
        place = piece.end()
    return tuple(parts)


def fill(key: Key, values: Mapping[str, Any]) -> str:
    """The key with the values of its fields, those of a JSON object; KeyError names one that lacks.

    Text stands as it is, all else as JSON.
    """
    parts = list(key)
    for place in range(1, len(key), 2):
        value = values[key[place]]
        is_text = isinstance(value, str)
        parts[place] = value if is_text else json.dumps(value, separators=(",", ":"))
    return "".join(parts)
