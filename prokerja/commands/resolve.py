"""`prokerja resolve`: hand an awaiting job what it waits for."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commandline.input import parse_json, read_all
from prokerja.commands import Json, Place
from prokerja.console import hint, print_json
from prokerja.queue import Queue


def run(
    *,
    id: Annotated[int, Argument("An awaiting job.", "ID")],
    data: Annotated[
        str | None, Option("The answer as JSON, from @FILE, or - for stdin.", metavar="JSON")
    ] = None,
    token: Annotated[
        str | None, Option("Resolve it only if this is the job's token.", metavar="TOKEN")
    ] = None,
    place: Place,
    json: Json = False,
) -> None:
    """Hand an awaiting job its answer; a worker then goes on with it.

    Example: prokerja resolve 12 --data '{"paid": true}'
    """
    answer = None if data is None else parse_json(read_all(data), f"job {id}: --data")
    with Queue.of(place, create=False) as source:
        source.resolve(id, answer, token)
    if json:
        print_json({"resolved": id})
    hint(f"Resolved job {id}; a worker goes on with it.")
