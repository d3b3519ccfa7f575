"""`prokerja release`: let jobs run that are held."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[list[int], Argument("Jobs that are held.", "ID...")],
    place: Place,
    json: Json = False,
) -> None:
    """Let jobs run that were declared with --hold, or held since, all or none.

    Example: prokerja release 12
    """
    with Queue.of(place, create=False) as source:
        source.release(*ids)
    count = len(set(ids))
    print_json({"released": count}) if json else print(count)
    hint(f"Released {plural(count, 'job')}.")
