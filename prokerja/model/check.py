"""What the doctor has looked at, and found."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from prokerja.text import escaped


class State(Enum):
    """How serious it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something should be done all the same."""
    FAILED = "failed"
    """It does not work, or will not for long."""


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    """What was found, in a line."""
    fix: str = ""
    """What to do about it; empty if there is nothing to do."""


class Examination(NamedTuple):
    """What was found of a store."""

    checks: list[Check]
    is_current: bool = False
    """Whether it can be opened and read without a change to it."""


def ok(name: str, text: str) -> Check:
    """All is well."""
    return Check(name, State.OK, text)


def warning(name: str, text: str, fix: str = "") -> Check:
    """Something should be done."""
    return Check(name, State.WARNING, text, fix)


def failed(name: str, text: str, fix: str = "") -> Check:
    """Something has to be done."""
    return Check(name, State.FAILED, text, fix)


def of_error(name: str, error: Exception | str) -> Check:
    """What one of our errors says: each ends in what to do next, after the last semicolon."""
    text, _, fix = escaped(" ".join(str(error).split())).rpartition("; ")
    return failed(name, text or fix, fix if text else "")
