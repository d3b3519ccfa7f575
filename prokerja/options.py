"""What a declaration may ask for beside its payload: checked, before there is a declaration."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.errors import BadOption, RequestError
from prokerja.model.declaration import Conditions
from prokerja.names import portable
from prokerja.on_failure import checked_words
from prokerja.terms import FLOW_NAMES, ID, IF_PARENT_FAILS, NAME, SWITCH, TERMS
from prokerja.text import quoted, shown
from prokerja.times import MAX_SECONDS, MAX_TIMESTAMP

if TYPE_CHECKING:
    from prokerja.model.flow import FlowTerms


class Options(NamedTuple):
    """What a declaration may ask for beside its payload; None for the job's own setting."""

    queue: str | None = None
    priority: int | None = None
    delay: float | None = None
    """Seconds from now until it is due."""
    at: float | datetime | None = None
    """When it is due instead, in seconds since the epoch or as a datetime (naive is local)."""
    retries: int | None = None
    retry_after: float | None = None
    timeout: float | None = None
    label: str | None = None
    """What the declarer calls it, for lists."""
    batch: str | None = None
    """What the declarer calls those that belong together."""
    coalesce: str | None = None
    """A key: while another with it is open, nothing is declared, and that one's id returned."""
    replace: bool = False
    """With `coalesce`: that one takes over the payload and the due time, while it waits."""
    hold: bool = False
    """Whether it waits until it is released."""
    expires: float | datetime | None = None
    """When it fails if it was not started by then: seconds from now, or a datetime."""
    after: int | Sequence[int] = ()
    """Ids of those that have to end first."""
    if_parent_fails: str = "cancel"
    """What it means if one of those fails: `cancel`, `run` or `wait`."""
    after_batch: str | None = None
    """The batch of which no other may be open."""
    on_failure: str | Sequence[str] | None = None
    """A command that is run when it has failed for good: its words, or a line of them."""
    limit_key: str | None = None
    """What `limit` counts; `{field}` stands for that field's value."""
    limit: int | None = None
    """How many with its key, or of its name, may run at once."""
    lock: str | None = None
    """A key, no other with which may run at the same time."""
    rate: str | None = None
    """How many with its key, or of its name, may start in some time, such as `10/min`."""
    rate_key: str | None = None
    """What `rate` counts."""
    needs: Mapping[str, int | str] | tuple[tuple[str, int], ...] | None = None
    """How much it takes of each resource while it runs."""
    fair_key: str | None = None
    """Jobs of different keys take turns."""


NO_OPTIONS = Options()
NO_CONDITIONS, NO_FLOW = NO_OPTIONS[9:17], NO_OPTIONS[17:]
MAX_TRACE_CHARACTERS = 2048
"""Four times what others are to carry of a tracestate."""
RULES = {"label": NAME, "batch": NAME, **{term.name: term.rule for term in TERMS}}
"""Of those that need no look at others."""


def options_of(given: Mapping[str, Any]) -> Options:
    """The options that keywords ask for; raises RequestError for one that there is not."""
    if not given:
        return NO_OPTIONS
    if unknown := given.keys() - Options._fields:
        raise RequestError(
            f"unknown option {', '.join(sorted(unknown))}; there are {', '.join(Options._fields)}"
        )
    return Options(**given)


def checked_options(given: Mapping[str, Any]) -> Options:
    """The same, with values that can be meant and that nobody can change; raises BadOption."""
    if "at" in given or "expires" in given:  # two datetimes may be equal and mean two moments
        return _checked(**given)
    try:
        return _remembered(**given)
    except TypeError:  # a list or the like, of which no cache can keep a note
        return _checked(**given)


def _checked(**given: Any) -> Options:
    options = options_of(given)
    for name, value in given.items():
        if name in RULES and value is not None:
            RULES[name].check(value, name)
    due(options, 0.0)
    conditions = conditions_of(options, 0.0)
    if conditions is not None:
        options = options._replace(after=conditions.after)
    if options.on_failure is not None:
        options = options._replace(on_failure=checked_words(options.on_failure, "on_failure"))
    return _locked(options) if flow_asked(options) else options


def _locked(options: Options) -> Options:
    """The same, where a lock is the limit that it is, and nobody can change the needs."""
    from prokerja.flow.resources import amounts_of

    if options.lock is not None:
        options = options._replace(limit_key=options.lock, limit=1, lock=None)
    if options.needs is not None:
        options = options._replace(needs=amounts_of(options.needs, "needs"))
    return options


def flow_asked(options: Options, *, literal: bool = False) -> "FlowTerms | None":
    """What a declaration with these options says of its flow; None for nothing.

    In `literal` keys, braces are braces. Raises BadOption for what cannot be meant.
    """
    given = options[17:]
    if given == NO_FLOW:
        return None
    from prokerja.flow.terms import terms_of

    said = zip(FLOW_NAMES, given, strict=True)
    return terms_of({name: value for name, value in said if value is not None}, literal=literal)


_remembered = lru_cache(maxsize=1024, typed=True)(_checked)


def due(options: Options, now: float) -> float:
    """When a declaration with these options is due; a moment in the past means now."""
    if options is NO_OPTIONS:
        return now
    if options.delay is not None:
        if options.at is not None:
            raise BadOption("give either a delay or a time, not both")
        return now + seconds_between(options.delay, "delay", 0.0, MAX_SECONDS)
    if options.at is None:
        return now
    return max(now, seconds_between(_epoch(options.at), "at", -MAX_TIMESTAMP, MAX_TIMESTAMP))


def conditions_of(options: Options, now: float) -> Conditions | None:
    """What a declaration with these options waits for; raises BadOption for what cannot be."""
    given = options[9:17]
    if given == NO_CONDITIONS:
        return None
    coalesce, replace, hold, expires, after, if_parent_fails, after_batch, on_failure = given
    parents = _parents(after)
    if replace and coalesce is None:
        raise BadOption("replace goes with coalesce; give a key, or leave it out")
    if if_parent_fails != NO_OPTIONS.if_parent_fails and not parents:
        raise BadOption("if_parent_fails goes with after; give the ids, or leave it out")
    for switch, what in ((replace, "replace"), (hold, "hold")):
        SWITCH.check(switch, what)
    conditions = Conditions(
        coalesce, replace, hold, expiry(expires, now), parents, if_parent_fails, after_batch,
        on_failure=None if on_failure is None else _noted(on_failure),
    )  # fmt: skip
    check_conditions(conditions)
    return conditions


def _noted(on_failure: Any) -> str:
    """A command, and the directory where it was asked for, as the store keeps them."""
    import json
    import os

    words = checked_words(on_failure, "on_failure")
    try:
        place = os.getcwd()
    except FileNotFoundError:
        place = "/"
    return json.dumps({"command": words, "cwd": portable(place)})


def _parents(after: Any) -> tuple[Any, ...]:
    if isinstance(after, (int, str)):
        return (after,)
    try:
        return tuple(dict.fromkeys(after or ()))
    except TypeError:
        raise BadOption(f"after: {shown(after)} is no id; give ids of jobs") from None


def expiry(expires: Any, now: float, what: str = "expires") -> float | None:
    """The moment that seconds from now or a datetime mean; raises BadOption, naming `what`."""
    if expires is None:
        return None
    if hasattr(expires, "timestamp"):
        return seconds_between(_epoch(expires), what, -MAX_TIMESTAMP, MAX_TIMESTAMP)
    return now + seconds_between(expires, what, 0.0, MAX_SECONDS)


def check_names(label: Any, batch: Any) -> None:
    """Raise BadOption for what nobody can be called."""
    if label is not None:
        NAME.check(label, "label")
    if batch is not None:
        NAME.check(batch, "batch")


def check_conditions(conditions: Conditions) -> None:
    """Raise BadOption for what cannot be meant."""
    for text, what in ((conditions.coalesce, "coalesce"), (conditions.after_batch, "after_batch")):
        if text is not None:
            NAME.check(text, what)
    IF_PARENT_FAILS.check(conditions.if_parent_fails, "if_parent_fails")
    for id in conditions.after:
        ID.check(id, "after")
    if conditions.trace is not None and len(conditions.trace) > MAX_TRACE_CHARACTERS:
        raise BadOption("the trace context is too long; shorten its tracestate")


def seconds_between(value: Any, what: str, least: float, most: float) -> float:
    """The value as seconds; BadOption, naming `what`, if it is none or out of bounds."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not least <= value <= most:
        text = quoted(str(value))
        raise BadOption(f"{what}: {text} s is not between {least:.0f} and {most:.0f} s; correct it")
    return float(value)


def _epoch(at: Any) -> Any:
    try:
        return at.timestamp() if hasattr(at, "timestamp") else at
    except (ValueError, OverflowError):
        return None  # a datetime at the very edge of what there is
