"""The list of broken promises keeps up with the code and with the tests."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.mutants.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.promise for one in MUTATIONS])
def test_a_mutation_changes_one_place_and_names_tests_that_are_there(mutation: Mutation) -> None:
    text = (ROOT / "prokerja" / mutation.file).read_text()
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    files = [word for word in shlex.split(mutation.tests) if word.endswith(".py")]
    assert files
    for file in files:
        assert (ROOT / "tests" / file).exists()
