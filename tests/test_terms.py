"""Every term of a declaration is known wherever one is: to classes, programs, shells and SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Job, Queue
from prokerja.catalog.options import RULES
from prokerja.commandline import parameters
from prokerja.commandline.input import options_from
from prokerja.commands import load
from prokerja.commands.declare_batch import KEYS
from prokerja.errors import BadOption
from prokerja.model.declaration import Declaration, Lane
from prokerja.options import Options
from prokerja.spec import JobSpec
from prokerja.terms import DEFAULTS, FLOW_NAMES, FLOW_TERMS, TERMS, Term
from prokerja.types import Terms

if TYPE_CHECKING:
    from pathlib import Path

CONDITIONS = {"coalesce", "replace", "hold", "expires", "after", "if_parent_fails", "after_batch"}
OWN = {"label", "batch", *CONDITIONS}
WHEN = {"delay", "at", *OWN}
"""What is asked of a declaration, and of no class."""


def test_a_program_may_ask_for_each() -> None:
    named = WHEN | set(DEFAULTS) | set(FLOW_NAMES)
    assert set(Terms.__annotations__) == set(Options._fields) == named
    assert Options._fields[-len(FLOW_NAMES) :] == FLOW_NAMES


def test_a_class_may_set_each() -> None:
    assert {*DEFAULTS, *FLOW_NAMES} <= set(Job.__annotations__)
    assert set(RULES) == {"name", *DEFAULTS, "keep"}
    assert JobSpec._fields[: len(DEFAULTS) + 1] == ("name", *DEFAULTS)


def test_a_declaration_holds_each() -> None:
    assert set(DEFAULTS) <= set(Lane._fields) | set(Declaration._fields)


def test_a_shell_and_a_batch_may_ask_for_each() -> None:
    taken = {parameter.name: parameter for parameter in parameters(load("declare:job"))}
    for term in (*TERMS, *FLOW_TERMS):
        assert taken[term.name].flags == (f"--{term.name.replace('_', '-')}",)
        assert taken[term.name].marker.help == term.help
    assert {*DEFAULTS, *FLOW_NAMES, "in", "at", *OWN} == KEYS - {"job", "payload"}
    assert taken.keys() >= OWN


def test_sql_may_ask_for_each(tmp_path: Path) -> None:
    file = tmp_path / "queue.sqlite3"
    Queue(file).close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(declare)")}
    assert set(DEFAULTS) <= columns


@pytest.mark.parametrize("term", TERMS, ids=[term.name for term in TERMS])
@pytest.mark.parametrize("value", ["\n", -1001, -1e300, 1e300, True, float("nan"), [], b""])
def test_a_value_that_fits_no_term_is_refused_with_what_is_allowed(term: Term, value: Any) -> None:
    assert term.rule.fits(term.default)
    with pytest.raises(BadOption, match=rf"^{term.name}: .* does not fit; give "):
        term.rule.check(value, term.name)


def test_both_ways_to_say_when_exclude_each_other() -> None:
    with pytest.raises(BadOption, match="give either --in or --at, not both"):
        options_from({"delay": "5m", "at": "2030-01-31T18:00"})
