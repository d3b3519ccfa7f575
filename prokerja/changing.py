"""Changes of a pending declaration, as they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import RequestError
from prokerja.model.change import Change
from prokerja.options import Options, due, expiry
from prokerja.terms import NAME, TERMS

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANGEABLE_COLUMNS = ("retries", "retry_after", "timeout", "label", "batch")
CHANGEABLE = ("queue", "priority", "delay", "at", "expires", *CHANGEABLE_COLUMNS)
"""What may change while a declaration is pending."""


def change_of(given: Mapping[str, Any], now: float) -> Change:
    """A change of a pending declaration; raises RequestError for what cannot be meant."""
    if not given:
        raise RequestError("say what to change: queue, priority, delay, at, retries, timeout, ...")
    if unknown := given.keys() - CHANGEABLE:
        names = ", ".join(sorted(unknown))
        raise RequestError(f"{names} cannot be changed; there are {', '.join(CHANGEABLE)}")
    for term in TERMS:
        if term.name in given:
            term.rule.check(given[term.name], term.name)
    for what in ("label", "batch"):
        if given.get(what) is not None:
            NAME.check(given[what], what)
    moved = given.get("delay") is not None or given.get("at") is not None
    moment = Options(delay=given.get("delay"), at=given.get("at"))
    return Change(
        given.get("queue"),
        given.get("priority"),
        due(moment, now) if moved else None,
        expiry(given.get("expires"), now),
        {name: given[name] for name in CHANGEABLE_COLUMNS if name in given},
    )
