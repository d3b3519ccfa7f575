"""`prokerja declare:job`: register a request to run a job, and return at once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja.catalog.refresh import known_job
from prokerja.commandline import Argument, Option
from prokerja.commands import Db, Jobs, Json
from prokerja.commands.input import options_from, parse_json, read_all, values
from prokerja.console import print_json, say
from prokerja.errors import BadPayload, RequestError
from prokerja.repository import Repository
from prokerja.request import from_spec
from prokerja.settings import settings
from prokerja.times import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.spec import JobSpec

Duration = "DURATION"


def run(
    *,
    name: Annotated[str, Argument("The job's name; `prokerja jobs` lists them.", "NAME")],
    pairs: Annotated[
        list[str], Argument("Payload: key=value, or key:=JSON for richer values.", "KEY=VALUE")
    ] = [],  # noqa: B006
    data: Annotated[
        str | None, Option("The payload as JSON, from @FILE, or - for stdin.", metavar="JSON")
    ] = None,
    each: Annotated[
        str | None, Option("One job for each line of stdin, as the value of KEY.", metavar="KEY")
    ] = None,
    null: Annotated[bool, Option("With --each: values end in NUL.", ("-0", "--null"))] = False,
    queue: Annotated[str | None, Option("The queue to declare it in.", metavar="QUEUE")] = None,
    priority: Annotated[int | None, Option("Higher goes first; 0 if not said.")] = None,
    in_: Annotated[str | None, Option("Due after this.", ("--in",), metavar=Duration)] = None,
    at: Annotated[str | None, Option("Due then, in ISO 8601; local time.", metavar="TIME")] = None,
    retries: Annotated[int | None, Option("More attempts after the first.")] = None,
    retry_after: Annotated[
        str | None, Option("Wait before the second attempt; then it doubles.", metavar=Duration)
    ] = None,
    timeout: Annotated[str | None, Option("Stop it after this.", metavar=Duration)] = None,
    db: Db = None,
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """Declare a job: register it, print its id, return at once."""
    now = time.time()
    options = options_from(
        queue=queue, priority=priority, in_=in_, at=at, retries=retries,
        retry_after=retry_after, timeout=timeout,
    )  # fmt: skip
    where = settings(db, jobs)
    repository = Repository(where.db)
    spec = known_job(repository, where, name)
    payload = _payload(spec, pairs, data, each)
    payloads = iter([payload]) if each is None else _each(spec, payload, each, null)
    ids = repository.declarations.add((from_spec(spec, p, now, options) for p in payloads), now)
    repository.close()
    if json:
        answer: dict[str, Any] = {"ids": list(ids)} if each is not None else {"id": ids[0]}
        print_json({**answer, "job": spec.name})
    else:
        sys.stdout.writelines(f"{id}\n" for id in ids)
    say(f"Declared {len(ids):,} {spec.name}; a worker will realize {_them(len(ids))}.")


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


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


def _each(spec: JobSpec, payload: dict[str, Any], key: str, null: bool) -> Iterator[Any]:
    if key in payload:
        raise RequestError(f"{shown(key)} is given both by --each and in the payload; use one")
    for value in values(null):
        yield {**payload, **spec.read([f"{key}={value}"])}
