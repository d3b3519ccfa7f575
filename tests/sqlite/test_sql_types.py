"""The types of a payload's fields, as plain SQL checks them."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prokerja.catalog.annotations import field_of
from prokerja.spec import fits
from tests.repository.harness import NOOP, record

if TYPE_CHECKING:
    from tests.sqlite.door import Connection

REFUSED = "the payload has a value that is not of the type of its field; see `prokerja jobs`"


def declares(sql: Connection, annotation: str, value: Any) -> bool:
    """Whether a job with one field of that type can be declared with this value."""
    field = field_of("it's", annotation)
    record(sql.store, NOOP._replace(name="typed", fields=(field,), file="/jobs/typed.py"))
    return is_declared(sql, json.dumps({field.name: value}))


def is_declared(sql: Connection, payload: str) -> bool:
    try:
        sql.insert(job="typed", payload=payload)
    except sqlite3.IntegrityError as error:
        if str(error) != REFUSED:
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("str", ["", "5", "[1]", "å"], [5, 1.5, True, None, [], {}]),
        ("Path", ["/tmp"], [5]),
        ("int", [0, -5, 10**30], ["5", 1.0, True, None]),
        ("float", [1, 1.5, -0.0], ["1.5", False, None]),
        ("bool", [True, False], [0, 1, "true", None]),
        ("None", [None], [0, "", False]),
        ("list", [[], [1, "a", None]], ["[]", {}, None]),
        ("dict", [{}, {"a": [1]}], ["{}", [], None]),
        ("str | None", ["", None], [5, [], False]),
        ("int | str", [5, "5"], [None, 1.5, True]),
        ("Optional[int]", [5, None], ["", False]),
        ("Literal['a', 1, None]", ["a", 1, None], ["b", 1.0, True, 2]),
        ("Literal['a'] | int", ["a", 7], ["b", 1.5]),
        ("list[str]", [[], ["a"]], [["a", 5], [None], [["a"]]]),
        ("list[int | None]", [[1, None]], [[1.5]]),
        ("list[Literal['a']]", [["a"]], [["b"]]),
        ("dict[str, int]", [{}, {"a": 1}], [{"a": "1"}, {"a": None}]),
        ("list[list[int]]", [[[1], []]], [[[1], ["a"]], [1]]),
        ("dict[str, list[int]]", [{"a": [1]}], [{"a": ["1"]}]),
        ("list[int] | None", [None, [1]], [["a"], 5]),
        ("list[int] | list[str]", [[1], ["a"]], ["a"]),
        ("Anything", [5, "a", None, [], {}], []),
        ("", [5, "a", None, [], {}], []),
    ],
)
def test_in_sql_a_value_has_to_be_of_the_type_of_its_field(
    sql: Connection, annotation: str, good: list[Any], bad: list[Any]
) -> None:
    assert [value for value in good if not declares(sql, annotation, value)] == []
    before = sql.store.everything()
    assert [value for value in bad if declares(sql, annotation, value)] == []
    assert sql.store.everything() == before


def test_in_sql_a_field_that_is_not_given_has_no_type(sql: Connection) -> None:
    field = field_of("n", "int", 5)
    record(sql.store, NOOP._replace(name="typed", fields=(field,), open=True))
    assert is_declared(sql, '{"other": "x"}')
    assert not is_declared(sql, '{"other": "x", "n": "x"}')


def test_in_sql_of_two_lists_that_may_be_meant_the_items_are_not_looked_at(sql: Connection) -> None:
    """As the guide says."""
    assert declares(sql, "list[int] | list[str]", [None])


VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -2.5, 1.0, "a", "", "[1]", 10**25]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)
SCALARS = st.sampled_from(["str", "int", "float", "bool", "None", "Literal['a', 1, True]"])
TYPES = st.recursive(
    SCALARS,
    lambda inner: (
        st.builds("list[{}]".format, inner)
        | st.builds("dict[str, {}]".format, inner)
        | st.builds("list[{}] | {}".format, inner, SCALARS.filter(lambda one: "Literal" not in one))
    ),
    max_leaves=3,
)


@given(annotation=TYPES, value=VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sql_and_python_agree_on_what_fits(sql: Connection, annotation: str, value: Any) -> None:
    expected = fits(value, field_of("it's", annotation).schema)
    assert declares(sql, annotation, value) == expected
