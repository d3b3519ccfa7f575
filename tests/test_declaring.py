"""How a request becomes a row, and a job again: its payload as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prokerja import declaring
from prokerja.errors import BadPayload
from prokerja.model.declaration import Declaration, Lane
from prokerja.worker.realizer.run import fields

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ODD = ("1e400", "-0", "-0.0", "5e-324", "1e22", "9" * 99, '{"a": 1, "a": 2}')
"""What plain SQL may declare, and Python's own parser takes in its own way."""


@dataclass
class Point:
    x: int
    name: str = "ü\ud800"


@given(VALUES)
def test_a_payload_is_stored_as_json_in_ascii_and_read_as_it_was(value: Any) -> None:
    text = declaring.encode(value, "job")
    assert text.isascii()
    assert json.loads(text) == value
    assert text == json.dumps(value, separators=(",", ":"))


@given(VALUES.map(json.dumps) | st.sampled_from(ODD))
def test_a_realizer_reads_a_payload_as_python_does(text: str) -> None:
    assert repr(fields(text)) == repr(json.loads(text))


def test_dataclasses_and_paths_have_a_json_form() -> None:
    text = declaring.encode({"at": [Point(1)], "in": Path("/tmp")}, "job")
    assert text == '{"at":[{"x":1,"name":"\\u00fc\\ud800"}],"in":"/tmp"}'


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append({"more": endless})
    return endless


@pytest.mark.parametrize(
    "value", [math.nan, {"x": [-math.inf]}, {(1, 2): 3}, object(), {"x": {1, 2}}, _endless()]
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(BadPayload, match=r"^job: the payload is not JSON: "):
        declaring.encode(value, "job")


@given(VALUES)
def test_a_python_without_the_quick_encoder_writes_the_same(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(json.encoder, "c_make_encoder")
        encode = declaring._encoder()
    assert encode(value) == declaring.encode(value, "job")


def test_what_a_log_shows_of_a_declaration_hides_its_payload() -> None:
    lane = Lane("default", "send", 0)
    declaration = Declaration(lane, '{"password": "secret"}', 0.0, 0, 60.0, None)
    assert str(declaration) == "<Declaration send on default, due 0.000>"
