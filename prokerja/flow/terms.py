"""What classes and declarations say of limits, rates, resources and turns.

The table of their names and flags is `terms.FLOW_TERMS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption
from prokerja.flow.keys import fill, parse_key
from prokerja.flow.rates import MAX_WINDOW_SECONDS, parse_rate
from prokerja.flow.resources import amounts_of
from prokerja.model.flow import Flow, FlowTerms
from prokerja.terms import NAME, Rule, whole
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.model.flow import Key

LIMIT = whole(1, 1_000_000)
PERIOD = Rule(lambda value: 0 < value <= MAX_WINDOW_SECONDS, "up to 366 days, in seconds")
NOTHING = FlowTerms()


def terms_of(given: Mapping[str, Any], owner: str = "", *, literal: bool = False) -> FlowTerms:
    """What these options say, by the names of `FLOW_TERMS`; in `literal` keys braces are braces.

    Raises BadOption for what cannot be meant, naming the option after `owner`.
    """
    said = {name: _read(name, value, f"{owner}{name}", literal) for name, value in given.items()}
    if "lock" in said:
        if "limit" in said or "limit_key" in said:
            raise BadOption(
                f"{owner}lock: a lock is a limit of 1; leave the limit and its key out, or the lock"
            )
        said.update(limit_key=said.pop("lock"), limit=1)
    return FlowTerms(**said)


def _read(name: str, value: Any, what: str, literal: bool) -> Any:
    match name:
        case "limit":
            LIMIT.check(value, what)
            return value
        case "needs":
            return amounts_of(value, what)
        case "rate":
            return parse_rate(value if isinstance(value, str) else repr(value), what)
    NAME.check(value, what)
    return (value,) if literal else parse_key(value, what)


def merged(name: str, own: FlowTerms | None, asked: FlowTerms | None) -> FlowTerms | None:
    """What holds for a job of that name: what its declaration asks for goes before its class.

    None if that is nothing; raises BadOption for a key without what it is the key of.
    """
    pairs = zip(own or NOTHING, asked or NOTHING, strict=True)
    terms = FlowTerms._make(mine if want is None else want for mine, want in pairs)
    if terms.limit is None and terms.limit_key is not None:
        raise BadOption(f"limit_key: {name} has a key and no limit; add --limit N (limit=N)")
    if terms.rate is None and terms.rate_key is not None:
        raise BadOption(f"rate_key: {name} has a key and no rate; add --rate 10/min (rate=...)")
    terms = terms._replace(needs=terms.needs or None)
    if terms.limit is not None and terms.limit_key is None:
        terms = terms._replace(limit_key=(name,))
    if terms.rate is not None and terms.rate_key is None:
        terms = terms._replace(rate_key=(name,))
    return None if terms == NOTHING else terms


def flow_of(terms: FlowTerms, payload: str, defaults: Mapping[str, Any]) -> Flow:
    """What a declaration is subject to: the keys are filled from its payload, a JSON object.

    `defaults` are those of fields that it may leave out. Raises BadOption for a field that is in
    neither, and for what cannot be a key.
    """
    keys = terms.limit_key, terms.rate_key, terms.fair_key
    values = defaults
    if any(key is not None and len(key) > 1 for key in keys):
        values = {**defaults, **json.loads(payload)}
    limit_key, rate_key, fair_key = (
        _filled(key, values, what)
        for key, what in zip(keys, ("limit_key", "rate_key", "fair_key"), strict=True)
    )
    rate = terms.rate or (0, 0.0)
    return Flow(limit_key, terms.limit or 0, rate_key, *rate, terms.needs or (), fair_key)


def check_flow(flow: Flow) -> None:
    """Raise BadOption for what is not fit for the store."""
    for key, most in (flow.limit_key, flow.max_running), (flow.rate_key, flow.max_starts):
        if key or most:
            NAME.check(key, "key")
            LIMIT.check(most, "limit")
    if flow.max_starts:
        PERIOD.check(flow.rate_seconds, "rate")
    if flow.fair_key:
        NAME.check(flow.fair_key, "fair_key")
    amounts_of(flow.needs, "needs")


def _filled(key: Key | None, values: Mapping[str, Any], what: str) -> str:
    if key is None:
        return ""
    try:
        text = fill(key, values)
    except KeyError as error:
        field = quoted(str(error.args[0]))
        raise BadOption(
            f"{what}: the key is made of {field}, which the payload does not have; give it"
        ) from None
    NAME.check(text, what)
    return text
