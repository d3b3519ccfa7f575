"""What a job takes: signatures, checks, and payloads read from `key=value`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prokerja.catalog.annotations import REQUIRED, field_of
from prokerja.errors import BadPayload
from prokerja.spec import JobSpec, fits
from prokerja.text import brief

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Hypothesis takes seconds to make its table of characters, whenever it is first asked."""

NASTY = ["\ud800", "a\0b", "line\nbreak", "\x1b[31m", "\u202eevil", "🙂", "עברית", "x" * 10_000]
TEXTS = st.one_of(st.text(), st.sampled_from(NASTY), st.text(st.characters(codec=None)))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS)
VALUES = st.recursive(
    st.one_of(SCALARS, st.floats()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
    max_leaves=10,
)
TYPED: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXTS,
    "int": st.integers(-(10**300), 10**300),
    "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70),
    "bool": st.booleans(),
    "int | None": st.integers() | st.none(),
    "str | int | None": st.text() | st.integers() | st.none(),
    "list[str]": st.lists(st.text()),
    "dict[str, int | None]": st.dictionaries(st.text(), st.integers() | st.none()),
    "Literal['a', 1, True, None]": st.sampled_from(["a", 1, True, None]),
}


def job(*fields: tuple[str, str] | tuple[str, str, Any], open: bool = False) -> JobSpec:
    """A spec that takes fields of a name, an annotation and perhaps a default."""
    return JobSpec(
        name="send_email",
        queue="default",
        priority=0,
        retries=0,
        retry_after=60.0,
        timeout=None,
        fields=tuple(field_of(*field) for field in fields),
        open=open,
        file="/jobs/send_email.py",
        doc="Send it.",
    )


def complaint(spec: JobSpec, payload: Any) -> str:
    """What `check` says, which is one readable line."""
    with pytest.raises(BadPayload) as caught:
        spec.check(payload)
    return readable(str(caught.value))


def refusal(*pairs: str) -> str:
    """What `read` says, which is one readable line."""
    with pytest.raises(BadPayload) as caught:
        job(("to", "str")).read(pairs)
    return readable(str(caught.value))


def readable(message: str) -> str:
    """The message, if it is one line that any terminal and any file can show."""
    assert message.isprintable()
    message.encode()
    return message


def reading(annotation: str, text: str) -> Any:
    """What a field of that type makes of a text."""
    return job(("x", annotation)).read([f"x={text}"])["x"]


def test_a_signature_reads_like_python() -> None:
    spec = job(("to", "str"), ("subject", "str", ""), ("n", "", 3), ("data", "list[int]", ...))
    assert spec.signature() == "send_email(to: str, subject: str = '', n=3, data: list[int] = ...)"
    assert job().signature() == "send_email()"
    assert job(("to", ""), open=True).signature() == "send_email(to, **more)"


def test_a_signature_is_readable_whatever_is_in_it() -> None:
    spec = job(("x" * 10_000, "str", "\ud800\n" * 5000))._replace(name="a\0\u202eb")
    signature = readable(spec.signature())
    assert signature.startswith(r"a\x00\u202eb(xxx")
    assert len(signature) < 300


@given(st.sampled_from(NASTY), st.booleans(), SCALARS)
@patient
def test_a_spec_survives_json(text: str, open: bool, default: Any) -> None:
    spec = job(("a", "str"), (text, "dict[str, int] | None", default), open=open)
    spec = spec._replace(doc=text, timeout=1.5)
    assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize("data", [{}, {"fields": [{}]}, {"fields": [], "name": "x", "extra": 1}])
def test_what_is_no_spec_is_not_taken_for_one(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        JobSpec.from_json(data)


def test_a_payload_that_fits_is_accepted() -> None:
    spec = job(("to", "str"), ("n", "int", 0), ("any", "", None))
    spec.check({"to": "a@b.c"})
    spec.check({"to": "", "n": -1, "any": {"x": [object()]}})


def test_everything_that_is_wrong_is_reported_at_once_and_then_what_the_job_takes() -> None:
    message = complaint(job(("to", "str"), ("n", "int", 0)), {"n": "abc", "extra": 1})
    assert message == (
        "send_email cannot take this payload: 'to' is missing, 'n' is 'abc', not int, "
        "'extra' is unknown; give what it takes: send_email(to: str, n: int = 0)"
    )


def test_an_open_job_takes_unknown_fields_but_still_wants_its_own() -> None:
    spec = job(("to", "str"), open=True)
    spec.check({"to": "x", "extra": 1})
    assert "'to' is missing" in complaint(spec, {"extra": 1})


@pytest.mark.parametrize("payload", [None, [], [1], "text", 5, True, float("nan")])
def test_what_is_no_object_is_no_payload(payload: Any) -> None:
    message = complaint(job(("to", "str")), payload)
    assert "give a JSON object" in message
    assert message.endswith("send_email(to: str)")


def test_a_key_that_is_no_string_is_unknown_even_to_an_open_job() -> None:
    assert "1 is unknown" in complaint(job(open=True), {1: "x"})


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("str", ["", "x", Path("/srv")], [1, None, True, ["x"]]),
        ("int", [0, -5, 10**40], [True, 3.0, "3", None]),
        ("float", [0.5, 3, -1, 1.7976931348623157e308], [True, "1", float("nan"), float("inf")]),
        ("bool", [True, False], [0, 1, "true"]),
        ("None", [None], [0, False, ""]),
        ("list[int]", [[], [1, 2], (1, 2)], [[1, "2"], [True], {}, "[1]"]),
        ("dict[str, int]", [{}, {"a": 1}], [{"a": "1"}, {1: 1}, []]),
        ("list", [[], [object()]], [{}, "x"]),
        ("str | None", ["x", None], [0, []]),
        ("list[str | None]", [["x", None]], [[1]]),
        ("Literal['a', 1]", ["a", 1], ["b", True, 1.0, None]),
        ("Whatever", [None, 1, [object()]], []),
    ],
)
def test_types_are_checked_as_json_means_them(
    annotation: str, good: list[Any], bad: list[Any]
) -> None:
    spec = job(("x", annotation))
    for value in good:
        spec.check({"x": value})
    for value in bad:
        assert f", not {annotation};" in complaint(spec, {"x": value})


@pytest.mark.parametrize("text", NASTY)
def test_messages_are_one_readable_line_whatever_is_in_the_payload(text: str) -> None:
    spec = job(("to", "int"), (text, "int"))
    message = complaint(spec, {"to": text, text + "!": 1, "z": object(), "huge": 10**5000})
    assert len(message) < 800


def test_a_number_too_long_to_print_is_refused_like_any_other() -> None:
    assert "'x' is a huge number, not str" in complaint(job(("x", "str")), {"x": 10**5000})


def test_of_thousands_of_faults_only_some_are_reported() -> None:
    message = complaint(job(("to", "str")), {f"x{number}": 1 for number in range(10_000)})
    assert "'x0' is unknown" in message
    assert ", and 9993 more; give" in message


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("str", "5", "5"),
        ("str", "", ""),
        ("str", "null", "null"),
        ("str", " a=b:=c ", " a=b:=c "),
        ("str | None", "null", "null"),
        ("Path", "/srv/x", "/srv/x"),
        ("", "5", "5"),
        ("int", "-5", -5),
        ("int", "007", 7),
        ("int", "3.0", "3.0"),
        ("int", "true", "true"),
        ("float", "5", 5),
        ("float", ".5", 0.5),
        ("float", "1e3", 1000.0),
        ("float", "nan", "nan"),
        ("float", "1e999", "1e999"),
        ("bool", "true", True),
        ("bool", "Yes", True),
        ("bool", "on", True),
        ("bool", "1", True),
        ("bool", "false", False),
        ("bool", "no", False),
        ("bool", "off", False),
        ("bool", "0", False),
        ("bool", "2", "2"),
        ("None", "null", None),
        ("int | None", "null", None),
        ("int | None", "5", 5),
        ("int | bool", "1", 1),
        ("int | bool", "yes", True),
        ("bool | None", "null", None),
        ("str | int", "5", 5),
        ("str | int", "007", "007"),
        ("str | int", "true", "true"),
        ("str | int | None", "null", "null"),
        ("str | bool", "yes", "yes"),
        ("str | bool", "true", True),
        ("list[int]", "[1, 2]", [1, 2]),
        ("list[int]", "[1, '2']", "[1, '2']"),
        ("list[int]", '["1"]', '["1"]'),
        ("list[str] | str", '["1"]', ["1"]),
        ("list[str] | str", "[1]", "[1]"),
        ("list[str] | str", "plain", "plain"),
        ("dict[str, int]", '{"a": 1}', {"a": 1}),
        ("Literal['a', 'b']", "a", "a"),
        ("Literal[1, 2]", "2", 2),
        ("Literal['a', None]", "null", "null"),
        ("Literal[1, None]", "null", None),
        ("int | list", "[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_is_read_as_its_field_says(annotation: str, text: str, value: Any) -> None:
    found = reading(annotation, text)
    assert (found, type(found)) == (value, type(value))


def test_a_value_that_its_field_cannot_read_is_left_to_check() -> None:
    spec = job(("n", "int"), ("to", "str"))
    payload = spec.read(["n=abc", "unknown=5"])
    assert payload == {"n": "abc", "unknown": "5"}
    message = complaint(spec, payload)
    assert "'to' is missing, 'n' is 'abc', not int, 'unknown' is unknown" in message


def test_json_is_read_as_json_whatever_the_field_says() -> None:
    pairs = ["to:=5", 'a:={"b": [null, true]}', "c:= 1.5 ", 'd:="\\ud800"', "e=f:=1"]
    payload = {"to": 5, "a": {"b": [None, True]}, "c": 1.5, "d": "\ud800", "e": "f:=1"}
    assert job(("to", "str")).read(pairs) == payload


BAD_JSON = ["", "text", "NaN", "Infinity", "-Infinity", "[NaN]", "1e999", "{'a': 1}", "01", "1 2"]


@pytest.mark.parametrize("bad", [*BAD_JSON, "[1,]", "[" * 100_000, "9" * 5000, *NASTY])
def test_bad_json_is_refused(bad: str) -> None:
    message = refusal(f"x:={bad}")
    assert "is not JSON" in message
    assert message.endswith('write key:=JSON with strings in double quotes, as in key:="text"')
    assert len(message) < 400


@pytest.mark.parametrize("pair", ["", "to", ":", "a:b", *NASTY])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    message = refusal(pair)
    assert message.endswith(" is not a field; write key=value, or key:=JSON")
    assert len(message) < 300


@pytest.mark.parametrize("pair", ["=", "=x", ":=1", "=a=b"])
def test_an_empty_key_is_refused(pair: str) -> None:
    assert "names no field; write key=value" in refusal(pair)


@pytest.mark.parametrize("again", ["to=a", "to=b", "to:=1"])
def test_a_key_given_twice_is_refused(again: str) -> None:
    assert refusal("to=a", again) == "'to' is given twice; give it once"


@given(st.data())
@patient
def test_what_is_written_as_json_is_read_back_and_passes(data: st.DataObject) -> None:
    annotation = data.draw(st.sampled_from(sorted(TYPED)))
    value = data.draw(TYPED[annotation])
    spec = job(("x", annotation))
    payload = spec.read([f"x:={json.dumps(value)}"])
    assert payload == {"x": value}
    spec.check(payload)


@given(st.sampled_from(["int", "float", "bool", "list[str]"]), st.data())
@patient
def test_what_has_no_string_reads_its_own_json_without_the_colon(
    annotation: str, data: st.DataObject
) -> None:
    value = data.draw(TYPED[annotation])
    assert reading(annotation, json.dumps(value)) == value


@given(TEXTS)
@patient
def test_a_string_field_takes_every_text_as_it_is(text: str) -> None:
    assert reading("str", text) == text


@given(st.sampled_from([*TYPED]), TEXTS | VALUES.map(json.dumps))
@patient
def test_whatever_is_typed_is_read_as_something_that_fits_or_left_as_it_is(
    annotation: str, text: str
) -> None:
    value = reading(annotation, text)
    assert value == text or fits(value, field_of("x", annotation).schema)
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@given(st.lists(TEXTS))
@patient
def test_read_gives_a_payload_or_one_readable_line(pairs: list[str]) -> None:
    try:
        payload = job(("to", "int")).read(pairs)
    except BadPayload as error:
        readable(str(error))
    else:
        assert len(payload) == len(pairs)


@given(VALUES | st.dictionaries(st.sampled_from(["to", "n"]), VALUES), st.booleans())
@patient
def test_check_is_silent_or_says_one_readable_line(payload: Any, open: bool) -> None:
    spec = job(("to", "str"), ("n", "list[int] | None", None), open=open)
    is_whole = isinstance(payload, dict) and isinstance(payload.get("to"), str)
    try:
        spec.check(payload)
    except BadPayload:
        assert len(complaint(spec, payload)) < 2000
    else:
        assert is_whole


@given(TEXTS, st.integers(10, 200))
@patient
def test_a_brief_text_is_short_and_printable(text: str, longest: int) -> None:
    assert len(readable(brief(text, longest))) <= longest
    if text.isprintable() and len(text) <= longest:
        assert brief(text, longest) == text


def test_a_required_field_has_no_default_and_a_computed_one_shows_dots() -> None:
    assert field_of("x", "int", REQUIRED)[3:] == (True, None, "")
    assert field_of("x", "int", {1, 2})[3:] == (False, None, "...")


def test_specs_are_light_to_import() -> None:
    heavy = {"ast", "dataclasses", "inspect", "pathlib", "subprocess", "typer", "rich"}
    program = "import sys, prokerja.spec, prokerja.catalog.files; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert heavy.isdisjoint(run.stdout.split())
    assert "prokerja.spec" in run.stdout.split()
