"""The terms of a declaration: what a job's class may set, and what a declaration may ask for.

Defaults, checks, flags and their help follow from the table `TERMS`; `types` has it for mypy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from prokerja.errors import BadOption
from prokerja.text import quoted
from prokerja.times import MAX_SECONDS


class Rule(NamedTuple):
    """What a value may be."""

    fits: Callable[[Any], bool]
    allowed: str
    """The same in words."""

    def check(self, value: Any, what: str) -> None:
        """Raise BadOption, naming `what`, for a value that does not fit."""
        if not self.fits(value):
            text = quoted(str(value))
            raise BadOption(f"{what}: {text} does not fit; give {self.allowed}")


class Term(NamedTuple):
    """One term: a column in the store, an attribute of job classes, an option of declarations."""

    name: str
    default: Any
    """What holds when neither the class nor the declaration says; durations in seconds."""
    rule: Rule
    type: type
    """Of its values; a float is a duration."""
    help: str


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(least: int, most: int) -> Rule:
    """A whole number within these bounds."""

    def fits(value: Any) -> bool:
        return _is_number(value) and isinstance(value, int) and least <= value <= most

    return Rule(fits, f"a whole number from {least} to {most}")


NAME = Rule(_is_name, "1 to 255 printable characters")
"""The name of a job or a queue."""
WAIT = Rule(
    lambda value: _is_number(value) and 0 <= value <= MAX_SECONDS,
    "a number of seconds, 0 or more, up to 100 years",
)
LIMIT = Rule(
    lambda value: value is None or (_is_number(value) and 0 < value <= MAX_SECONDS),
    "a number of seconds above 0, up to 100 years, or leave it out",
)
WEIGHT = whole(1, 1000)
ID = whole(1, 2**63 - 1)
MOST_RUNNING = whole(1, 1_000_000)
"""How many may run at once."""
SWITCH = Rule(lambda value: isinstance(value, bool), "True or False")
IF_PARENT_FAILS = Rule(lambda value: value in ("cancel", "run", "wait"), "cancel, run or wait")

TERMS = (
    Term("queue", "default", NAME, str, "The queue to declare it in."),
    Term("priority", 0, whole(-1000, 1000), int, "Higher goes first; default: the job's, else 0."),
    Term(
        "retries",
        0,
        whole(0, 1000),
        int,
        "More attempts after the first; default: the job's, else 0.",
    ),
    Term("retry_after", 60.0, WAIT, float, "Wait before the second attempt; then it doubles."),
    Term("timeout", None, LIMIT, float, "Stop the job if it runs longer than this."),
)
DEFAULTS = {term.name: term.default for term in TERMS}


class FlowTerm(NamedTuple):
    """One term of those that declarations share with others; nothing holds if nobody says."""

    name: str
    type: type
    """Of its values; a dict is one of names and amounts."""
    metavar: str
    help: str


FLOW_TERMS = (
    FlowTerm(
        "limit_key", str, "KEY", "What --limit counts; {field} stands for that field's value."
    ),
    FlowTerm("limit", int, "N", "Run no more than so many with its key (or name) at once."),
    FlowTerm("lock", str, "KEY", "Run no other with this key at the same time."),
    FlowTerm("rate", str, "N/TIME", "Start no more of its key (or name) in that time: 10/min."),
    FlowTerm("rate_key", str, "KEY", "What --rate counts; {field} stands for that field's value."),
    FlowTerm("needs", dict, "NAME=AMOUNT", "Take this much of a resource; repeatable."),
    FlowTerm("fair_key", str, "KEY", "Jobs of different keys take turns."),
)
"""`flow.terms` has their rules, which only those need that use them."""
FLOW_NAMES = tuple(term.name for term in FLOW_TERMS)
