"""`prokerja jobs`: which jobs there are, and what they take."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

from prokerja.catalog.listing import read_jobs
from prokerja.commandline import Option
from prokerja.commands import Json, Place
from prokerja.console import on_terminal, print_fields, print_json, print_table
from prokerja.errors import CatalogError
from prokerja.text import escaped

if TYPE_CHECKING:
    from prokerja.spec import Broken, JobSpec


def run(
    *,
    load: Annotated[bool, Option("Import the files, as a worker does, which runs them.")] = False,
    place: Place,
    json: Json = False,
) -> int:
    """List the kinds of job, and which files are broken.

    Example: prokerja jobs
    """
    directory = place.jobs
    if not os.path.isdir(directory):
        raise CatalogError(f"there is no jobs directory {directory}; make it or pass --jobs DIR")
    specs, broken = _imported(directory) if load else read_jobs(directory)
    specs = sorted(specs)
    if json:
        found = [{**spec.to_json(), "signature": spec.signature()} for spec in specs]
        print_json({"jobs": found, "broken": [item._asdict() for item in broken]})
    else:
        _show(specs, directory)
    for item in broken:
        print(f"prokerja: {escaped(f'{item.file}: {item.error}')}", file=sys.stderr)
    return 1 if broken else 0


def _imported(directory: str) -> tuple[list[JobSpec], list[Broken]]:
    from prokerja.catalog.inspection import inspect
    from prokerja.catalog.trust import refuse_foreign

    refuse_foreign(directory)
    return inspect(directory)


def _show(specs: list[JobSpec], directory: str) -> None:
    rows = [
        (spec.signature(), spec.queue, os.path.relpath(spec.file, directory), spec.doc)
        for spec in specs
    ]
    if on_terminal():
        print_table(("job", "queue", "file", "what it does"), rows)
    else:
        print_fields(rows)
