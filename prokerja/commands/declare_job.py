"""`prokerja declare:job`: register a request to run a job, and return at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja.commandline import Argument, Group, Option
from prokerja.commandline.input import TERM_OPTIONS, options_from, parse_json, read_all, values
from prokerja.commands import Json, Null, Place, Start, Wait
from prokerja.commands.declared import Needs, show_declared, start_worker, tell_of_pauses, wait_for
from prokerja.declaring import of_spec
from prokerja.errors import BadPayload, ProkerjaError, RequestError
from prokerja.options import Options
from prokerja.queue import Queue
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.catalog.refresh import KnownJob
    from prokerja.model.declaration import Declaration
    from prokerja.spec import JobSpec


def run(
    *,
    name: Annotated[str, Argument("The job's name; `prokerja jobs` lists them.", "NAME")],
    pairs: Annotated[
        list[str],
        Argument("Payload: key=value, or key:=JSON for richer values.", "[KEY=VALUE]..."),
    ] = [],  # noqa: B006
    data: Annotated[
        str | None, Option("The payload as JSON, from @FILE, or - for stdin.", metavar="JSON")
    ] = None,
    each: Annotated[
        str | None, Option("One job for each line of stdin, as the value of KEY.", metavar="KEY")
    ] = None,
    null: Null = False,
    options: Annotated[Options, Group(TERM_OPTIONS, options_from)],
    wait: Wait = False,
    start: Start = False,
    place: Place,
    json: Json = False,
) -> int:
    """Register a request to run a job, and print its id.

    Example: prokerja declare:job thumb path=/tmp/a.png --after 12
    """
    now = time.time()
    if wait and json:
        raise RequestError("--wait shows what the job prints, and --json its id; use one")
    if null and each is None:
        raise RequestError("-0 goes with --each; leave it out, or add --each KEY")
    with Queue.of(place) as source:
        job = source.known_job(name)
        spec, directory = job
        payload = _payload(spec, pairs, data, each)
        needs = Needs()
        if each is None:
            one = of_spec(spec, payload, now, options, directory)
            ids = source.register(tuple(needs.noted((one,))), now)
        else:
            made = _each(job, payload, each, null, now, options)
            ids = source.register(needs.noted(made), now)
        tell_of_pauses(source, ids)
        needs.warn(place)
        if start:
            start_worker(source, place)
        if wait:
            return wait_for(source, ids, spec.name)
        show_declared(source, ids, spec.name, single=each is None, json=json)
    return 0


def _payload(spec: JobSpec, pairs: list[str], data: str | None, each: str | None) -> Any:
    if data is None:
        return spec.read(pairs)
    if pairs:
        raise RequestError("the payload is given both by --data and by key=value; use one")
    if data == "-" and each is not None:
        raise RequestError("--data - and --each both read stdin; use one, or --data @FILE")
    payload = parse_json(read_all(data), f"{spec.name}: --data")
    if each is not None and not isinstance(payload, dict):
        raise BadPayload(f"{spec.name}: the payload must be a JSON object; write it like {{}}")
    return payload


def _each(
    job: KnownJob, payload: dict[str, Any], key: str, null: bool, now: float, options: Options
) -> Iterator[Declaration]:
    spec, directory = job
    if key in payload:
        raise RequestError(f"{quoted(key)} is given both by --each and in the payload; use one")
    if not key or "=" in key:
        raise RequestError(f"--each: {quoted(key)} is not a field; `prokerja jobs` lists them")
    for number, value in values(null):
        try:
            given = {**payload, **spec.read([f"{key}={value}"])}
            yield of_spec(spec, given, now, options, directory)
        except ProkerjaError as error:
            raise type(error)(f"value {number}: {error}") from None
