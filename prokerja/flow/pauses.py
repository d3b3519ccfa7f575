"""Which pause keeps a queue from being worked on, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import BadOption
from prokerja.terms import NAME, Rule
from prokerja.text import quoted
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.model.flow import QueueRule

ALL_QUEUES = ""
"""The name of the rule for all of them."""
FOR_EVER = float("inf")
MAX_WHY_CHARACTERS = 1000


def _is_why(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_WHY_CHARACTERS and value.isprintable()


WHY = Rule(_is_why, f"1 to {MAX_WHY_CHARACTERS} printable characters")


def check(
    queue: str | None, why: str | None, by: str | None, until: float | None, now: float
) -> None:
    """Raise BadOption for a pause that cannot be meant."""
    for value, rule, what in ((queue, NAME, "queue"), (why, WHY, "why"), (by, NAME, "by")):
        if value is not None:
            rule.check(value, what)
    if until is not None and until <= now:
        raise BadOption("until: that is past; give a time to come, or leave it out")


def pause_of(rules: Mapping[str, QueueRule], queue: str, now: float) -> QueueRule | None:
    """Of the rules, by name, the one that pauses the queue at that moment; None if none does.

    Where its own and that for all queues do, the one that does so longer.
    """
    own, common = rules.get(queue), rules.get(ALL_QUEUES)
    pauses = [rule for rule in (own, common) if rule is not None and rule.is_paused(now)]
    return max(pauses, key=end_of, default=None)


def end_of(pause: QueueRule) -> float:
    """When a pause ends by itself; infinite if it does not."""
    return FOR_EVER if pause.paused_until is None else pause.paused_until


def sentence(pause: QueueRule) -> str:
    """Which queue is paused, by whom, since when and why."""
    what = f"queue {pause.name} is paused" if pause.name else "all queues are paused"
    by = f" by {pause.paused_by}" if pause.paused_by else ""
    since = "" if pause.paused_at is None else f" since {iso(pause.paused_at)}"
    why = f" ({quoted(pause.paused_why, MAX_WHY_CHARACTERS)})" if pause.paused_why else ""
    return f"{what}{by}{since}{why}"


def sentence_with_end(pause: QueueRule) -> str:
    """The same, and until when."""
    if pause.paused_until is None:
        return sentence(pause)
    return f"{sentence(pause)} until {iso(pause.paused_until)}"


def resuming(pause: QueueRule) -> str:
    """The command that ends a pause."""
    from shlex import quote

    return f"prokerja queue:resume {quote(pause.name) if pause.name else '--all'}"
