"""`prokerja hold`: keep pending jobs from running."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[list[int], Argument("Pending jobs.", "ID...")],
    place: Place,
    json: Json = False,
) -> None:
    """Keep pending jobs from running until `prokerja release`, all or none.

    Example: prokerja hold 12
    """
    with Queue.of(place, create=False) as source:
        source.hold(*ids)
    count = len(set(ids))
    print_json({"held": count}) if json else print(count)
    hint(f"Held {plural(count, 'job')}.")
