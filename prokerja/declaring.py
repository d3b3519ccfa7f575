"""A request to run a job, checked and made ready for the store; runs nothing of the user's."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from prokerja.configured_job import ConfiguredJob
from prokerja.errors import BadOption, BadPayload, CatalogError, RequestError
from prokerja.fields import field_names, hidden_method
from prokerja.job import file_of, home_of, name_of, option, payload_fields
from prokerja.model.change import Change
from prokerja.model.declaration import Declaration, Lane
from prokerja.names import portable
from prokerja.options import (
    NO_OPTIONS,
    Options,
    check_conditions,
    check_names,
    conditions_of,
    due,
    expiry,
    seconds_between,
)
from prokerja.terms import DEFAULTS, NAME, TERMS
from prokerja.text import quoted
from prokerja.times import MAX_TIMESTAMP

if TYPE_CHECKING:
    from prokerja.spec import JobSpec

MAX_PAYLOAD_BYTES = 2**20
"""Bytes of JSON that a payload may have."""
NOT_A_JOB = ("",)
"""Stands for the fields of what is not a job."""
CHANGEABLE_COLUMNS = ("retries", "retry_after", "timeout", "label", "batch")
CHANGEABLE = ("queue", "priority", "delay", "at", "expires", *CHANGEABLE_COLUMNS)
"""What may change while a declaration is pending."""
ASCII = json.encoder.encode_basestring_ascii


def of_job(job: Any, now: float, options: Options = NO_OPTIONS, directory: str = "") -> Declaration:
    """The declaration of a job instance; raises RequestError for what is not a job.

    What has options of its own does without `options`.
    It belongs to the jobs directory `directory` if the job's class lies in it, else to none.
    """
    cls: type = type(job)
    if cls is ConfiguredJob:
        job, options = job
        cls = type(job)
    if options.coalesce is None and _has_key(cls):
        options = options._replace(coalesce=job.coalesce_key())
    usual = _cached(_of_class, cls, options, directory)
    payload = encode(payload_of(job), usual.lane.name)
    return _made(usual, payload, options, now)


def of_spec(
    spec: "JobSpec",
    payload: Any,
    now: float,
    options: Options = NO_OPTIONS,
    directory: str = "",
) -> Declaration:
    """The declaration of a job that is known by its spec only; raises BadPayload.

    `directory` is the jobs directory it belongs to; empty for none.
    """
    if not isinstance(payload, dict):
        kind = type(payload).__name__
        raise BadPayload(f"{spec.name}: the payload must be a JSON object, not {kind}")
    spec.check(payload)
    if spec.unsure:
        _refuse_unsure(spec, options)
    return of_named(spec[:6], payload, now, options, directory)


def of_named(
    named: tuple[Any, ...],
    payload: dict[str, Any],
    now: float,
    options: Options = NO_OPTIONS,
    directory: str = "",
    longest: int = MAX_PAYLOAD_BYTES,
) -> Declaration:
    """The declaration of a job by its name and its terms, with a payload that it takes.

    `longest` is how many bytes of JSON the payload may have; raises BadPayload.
    """
    usual = _cached(_of_named, named, options, directory)
    return _made(usual, encode(payload, usual.lane.name, longest), options, now)


def _made(usual: Declaration, payload: str, options: Options, now: float) -> Declaration:
    lane, _, _, again, after, limit, *_ = usual
    if options is NO_OPTIONS:
        return Declaration(lane, payload, now, again, after, limit)
    label, batch = options.label, options.batch
    check_names(label, batch)
    moment, conditions = due(options, now), conditions_of(options, now)
    return Declaration(lane, payload, moment, again, after, limit, label, batch, conditions)


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


def _refuse_unsure(spec: "JobSpec", options: Options) -> None:
    missing = [key for key in spec.unsure if getattr(options, key, None) is None]
    if missing:
        from prokerja.text import escaped

        raise CatalogError(
            f"{spec.name}: {' and '.join(missing)} of this job in {escaped(spec.file)}"
            f" {'is' if len(missing) == 1 else 'are'} computed; write it out, or start a worker"
            " once, which imports the file"
        )


def payload_of(job: Any) -> Any:
    """What a job instance is rebuilt from; raises RequestError for what cannot be."""
    cls: type = type(job)
    names = _payload_fields(cls)
    if names is NOT_A_JOB:
        raise RequestError(
            f"{quoted(str(job))} is not a job; give an instance of a class with handle() and"
            " payload(), or of a dataclass with handle()"
        )
    return job.payload() if names is None else {name: getattr(job, name) for name in names}


@cache
def _has_key(cls: type) -> bool:
    """Whether the instances of a class name their keys themselves, and it is no field."""
    return callable(getattr(cls, "coalesce_key", None)) and "coalesce_key" not in (
        field_names(cls) or ()
    )


@cache
def _payload_fields(cls: type) -> tuple[str, ...] | None:
    """The fields of the payload, None for the class's own `payload()`, NOT_A_JOB for no job."""
    if issubclass(cls, type) or not (hasattr(cls, "handle") or hidden_method(cls)):
        return NOT_A_JOB
    try:
        return payload_fields(cls)
    except (TypeError, ValueError) as error:
        raise RequestError(str(error)) from None


def encode(payload: Any, name: str, longest: int = MAX_PAYLOAD_BYTES, what: str = "payload") -> str:
    """The payload (or `what` else) as JSON, in ASCII: every string survives; raises BadPayload."""
    try:
        text = _encode(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadPayload(f"{name}: the {what} is not JSON: {error}") from None
    if len(text) > longest:
        raise BadPayload(
            f"{name}: the {what} has {len(text):,} bytes, more than {longest // 2**20} MiB;"
            " write it to a file and pass the path"
        )
    return text


def _cached(
    work_out: Callable[[Any, Options, str], Declaration], of: Any, options: Options, directory: str
) -> Any:
    """What was worked out before for the same; raises BadOption for what cannot be meant."""
    if options is not NO_OPTIONS:
        # What differs from call to call is no part of what is usual.
        queue, priority, _, _, retries, retry_after, timeout, *_ = options
        options = Options(queue, priority, None, None, retries, retry_after, timeout)
    try:
        return work_out(of, options, directory)
    except TypeError:  # a list or the like, of which no cache can keep a note
        given = {k: v for k, v in options._asdict().items() if v is not None}
        raise BadOption(
            f"{quoted(str(given))} cannot be used as options; use names and numbers"
        ) from None


@lru_cache(maxsize=1024)
def _of_class(cls: type, options: Options, directory: str) -> Declaration:
    own = [option(cls, key) for key in DEFAULTS]
    return _merge(name_of(cls), own, options, home_of(file_of(cls), directory))


@lru_cache(maxsize=1024)
def _of_named(named: tuple[Any, ...], options: Options, directory: str) -> Declaration:
    name, *own = named
    return _merge(name, own, options, directory)


def _merge(name: str, own: Sequence[Any], options: Options, directory: str) -> Declaration:
    """A job's own terms, or those that its declaration asks for instead."""
    asked = (getattr(options, key) for key in DEFAULTS)
    merged = (mine if want is None else want for mine, want in zip(own, asked, strict=True))
    queue, priority, *rest = merged
    lane = Lane(queue, name, priority, directory)
    return checked(Declaration(lane, "{}", 0.0, *rest))


def checked(declaration: Declaration) -> Declaration:
    """The declaration, if all but its payload is fit for the store; raises BadOption."""
    (queue, name, priority, *_), _, due_at, *rest, label, batch, conditions = declaration
    check_names(label, batch)
    if conditions is not None:
        check_conditions(conditions)
    NAME.check(name, "job")
    for term, value in zip(TERMS, (queue, priority, *rest), strict=True):
        term.rule.check(value, term.name)
    moment = seconds_between(due_at, "due_at", -MAX_TIMESTAMP, MAX_TIMESTAMP)
    return declaration._replace(due_at=moment, retry_after=float(declaration.retry_after))


def _plainer(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return portable(value)
    cls: type = type(value)
    names = field_names(cls)
    if names is not None:
        return {name: getattr(value, name) for name in names}
    raise TypeError(f"{type(value).__name__} has no JSON form; use strings, numbers, lists, dicts")


def _encoder() -> Callable[[Any], str]:
    """`json`'s own encoder, made once; `json` makes another for each value, which takes longer.

    What contains itself ends in a RecursionError: looking out for it would cost every payload.
    """
    encoder = json.JSONEncoder(
        allow_nan=False, separators=(",", ":"), default=_plainer, check_circular=False
    )
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        quick = make(None, _plainer, ASCII, None, ":", ",", False, False, False)
    except TypeError:  # this Python has none, or another one
        return encoder.encode
    return lambda value: "".join(quick(value, 0))


_encode = _encoder()
