"""A request to run a job, checked and made ready for the store; runs nothing of the user's."""

import json
import os
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja.configured_job import ConfiguredJob
from prokerja.errors import BadOption, BadPayload, RequestError
from prokerja.fields import field_names, hidden_method
from prokerja.job import file_of, home_of, name_of, option, payload_fields
from prokerja.model.declaration import Declaration, Lane
from prokerja.names import portable
from prokerja.options import (
    NO_OPTIONS,
    Options,
    check_conditions,
    check_names,
    conditions_of,
    due,
    flow_asked,
    seconds_between,
)
from prokerja.terms import DEFAULTS, FLOW_NAMES, NAME, TERMS
from prokerja.text import quoted
from prokerja.times import MAX_TIMESTAMP

if TYPE_CHECKING:
    from prokerja.model.flow import Flow, FlowTerms
    from prokerja.spec import Field, JobSpec

MAX_PAYLOAD_BYTES = 2**20
"""Bytes of JSON that a payload may have."""
NOT_A_JOB = ("",)
"""Stands for the fields of what is not a job."""
ASCII = json.encoder.encode_basestring_ascii


class Usual(NamedTuple):
    """What the declarations of a job have in common that ask for the same."""

    lane: Lane
    retries: int
    retry_after: float
    timeout: float | None
    flow: "FlowTerms | None"
    """From which each has a flow made of its payload, in a lane of its own."""


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
        from prokerja.unsure import refuse_unsure

        refuse_unsure(spec, options)
    usual = _cached(_of_named, (spec[:6], spec.flow), options, directory)
    return _made(usual, encode(payload, spec.name), options, now, spec.fields)


def of_named(
    named: tuple[Any, ...], payload: Any, now: float, options: Options, longest: int
) -> Declaration:
    """The declaration of what is no class, by its name and its terms; its keys are literal.

    `longest` is how many bytes of JSON the payload may have; raises BadPayload.
    """
    usual = _cached(_of_named, (named, None), options, "", literal=True)
    return _made(usual, encode(payload, usual.lane.name, longest), options, now)


def _made(
    usual: Usual, payload: str, options: Options, now: float, fields: "Sequence[Field]" = ()
) -> Declaration:
    lane, again, after, limit, flow = usual
    if flow is not None:
        lane = Lane(*lane[:4], _flow(flow, payload, fields))
    if options is NO_OPTIONS:
        return Declaration(lane, payload, now, again, after, limit)
    label, batch = options.label, options.batch
    check_names(label, batch)
    moment, conditions = due(options, now), conditions_of(options, now)
    return Declaration(lane, payload, moment, again, after, limit, label, batch, conditions)


def _flow(terms: "FlowTerms", payload: str, fields: "Sequence[Field]") -> "Flow":
    from prokerja.flow.terms import flow_of

    return flow_of(terms, payload, {one.name: one.default for one in fields if one.has_default})


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
    work_out: Callable[[Any, Any, Any, str], Usual],
    of: Any,
    options: Options,
    directory: str,
    *,
    literal: bool = False,
) -> Usual:
    """What was worked out before for the same; raises BadOption for what cannot be meant."""
    if options is NO_OPTIONS:
        return work_out(of, None, None, directory)
    # What differs from call to call is no part of what is usual.
    queue, priority, _, _, *asked = options[:7]
    flow = flow_asked(options, literal=literal)
    try:
        return work_out(of, (queue, priority, *asked), flow, directory)
    except TypeError:  # a list or the like, of which no cache can keep a note
        given = {k: v for k, v in options._asdict().items() if v is not None}
        raise BadOption(
            f"{quoted(str(given))} cannot be used as options; use names and numbers"
        ) from None


@lru_cache(maxsize=1024)
def _of_class(
    cls: type, asked: tuple[Any, ...] | None, flow: "FlowTerms | None", directory: str
) -> Usual:
    own = [option(cls, key) for key in DEFAULTS]
    home = home_of(file_of(cls), directory)
    return _merge(name_of(cls), own, asked, home, _own_flow(cls), flow)


def _own_flow(cls: type) -> "FlowTerms | None":
    given = {name: option(cls, name) for name in FLOW_NAMES}
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        return None
    from prokerja.flow.terms import terms_of

    return terms_of(said, f"{cls.__name__}.")


@lru_cache(maxsize=1024)
def _of_named(
    named: tuple[tuple[Any, ...], "FlowTerms | None"],
    asked: tuple[Any, ...] | None,
    flow: "FlowTerms | None",
    directory: str,
) -> Usual:
    (name, *own), own_flow = named
    return _merge(name, own, asked, directory, own_flow, flow)


def _merge(
    name: str,
    own: Sequence[Any],
    asked: Sequence[Any] | None,
    directory: str,
    own_flow: "FlowTerms | None",
    asked_flow: "FlowTerms | None",
) -> Usual:
    """A job's own terms, or those that its declaration asks for instead."""
    pairs = zip(own, asked or (None,) * len(own), strict=True)
    queue, priority, *rest = (mine if want is None else want for mine, want in pairs)
    lane = Lane(queue, name, priority, directory)
    made = checked(Declaration(lane, "{}", 0.0, *rest))
    flow = None
    if own_flow or asked_flow:
        from prokerja.flow.terms import merged

        flow = merged(name, own_flow, asked_flow)
    return Usual(lane, made.retries, made.retry_after, made.timeout, flow)


def checked(declaration: Declaration) -> Declaration:
    """The declaration, if all but its payload is fit for the store; raises BadOption."""
    (queue, name, priority, _, flow), _, due_at, *rest, label, batch, conditions = declaration
    check_names(label, batch)
    if flow is not None:
        from prokerja.flow.terms import check_flow

        check_flow(flow)
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
