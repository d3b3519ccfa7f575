"""`prokerja suspend`: have running jobs stand still."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Argument
from prokerja.commands import Json, Place
from prokerja.console import hint, plural, print_json
from prokerja.queue import Queue


def run(
    *,
    ids: Annotated[list[int], Argument("Running jobs.", "ID...")],
    place: Place,
    json: Json = False,
) -> None:
    """Stop running jobs, with all they have started, until `resume` continues them.

    Their time limits stand still meanwhile. A suspended job can be cancelled, and goes back to
    pending when its worker stops.

    Example: prokerja suspend 12
    """
    with Queue.of(place, create=False) as source:
        source.suspend(*ids)
    count = len(set(ids))
    print_json({"suspended": count}) if json else print(count)
    hint(f"Suspended {plural(count, 'job')}.")
