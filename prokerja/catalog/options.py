"""What a job class may set its options to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import CatalogError
from prokerja.model.declaration import SHELL
from prokerja.terms import NAME, TERMS, Rule
from prokerja.text import brief, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_NAME = Rule(lambda value: NAME.fits(value) and value != SHELL, f"{NAME.allowed}, not {SHELL}")
"""The name of a job of one's own."""
RULES = {"name": JOB_NAME, **{term.name: term.rule for term in TERMS}}


def check(cls: str, values: Mapping[str, Any]) -> None:
    """Raise CatalogError if the class of that name sets an option to what it cannot be."""
    for key, value in values.items():
        if not RULES[key].fits(value):
            raise CatalogError(
                f"{brief(cls)}.{key} is {shown(value)}; make it {RULES[key].allowed}"
            )
