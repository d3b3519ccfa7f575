"""`prokerja resume`: have suspended jobs go on."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[list[int], Argument("Suspended jobs.", "ID...")],
    place: Place,
    json: Json = False,
) -> None:
    """Continue jobs that `suspend` has stopped.

    Example: prokerja resume 12
    """
    with Queue.of(place, create=False) as source:
        source.resume(*ids)
    count = len(set(ids))
    print_json({"resumed": count}) if json else print(count)
    hint(f"Resumed {plural(count, 'job')}.")
